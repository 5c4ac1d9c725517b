"""How many members a cluster has room for, from the best source it offers: its estimator, its nodes, or its sums.

Sources differ in how they ask; what they know is a `Rooms`, and decisions see nothing else of them.
"""
