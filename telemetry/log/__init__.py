"""A tenant's log: rows of leaves, nodes and checkpoints, the anchor, the signing keys and signed tree heads."""
