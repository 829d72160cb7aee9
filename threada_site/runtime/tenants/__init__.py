"""Tenants that arrive in the instance with a file, and tenants that are deleted from it."""
