"""FedState's vocabulary: its own kinds, the hand-off formats between components, and readers of Karmada's objects.

Pure: values in, values out. Knows no client, no clock and no event loop.
"""
