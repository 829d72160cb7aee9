"""Deletions of tenants."""
