"""The pure object machinery of the embedded API server: schemas, patches, field ownership, CEL, tables, OpenAPI.

Values in, values out: nothing here reads a clock, a socket, a file of state, or another object.
"""
