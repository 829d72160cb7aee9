"""The sealer process."""
