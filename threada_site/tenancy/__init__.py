"""Tenants, principals, credentials and effective permissions."""
