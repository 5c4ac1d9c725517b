"""The kinds that exist without a CustomResourceDefinition, and what each does beyond being stored."""
