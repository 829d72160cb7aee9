"""Measurements of authentication."""
