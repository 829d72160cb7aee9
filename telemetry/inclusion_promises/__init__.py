"""Inclusion promises, off by default: signed statements that a receipt will be sealed."""
