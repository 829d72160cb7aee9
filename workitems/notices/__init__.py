"""Notices about decision steps: recipients, channels, delivery and results."""
