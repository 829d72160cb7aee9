"""Reads and writes for many rows at once."""
