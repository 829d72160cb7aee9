"""The tenants' logs: rows of leaves, nodes and checkpoints, and what an operator acknowledges about them."""
