"""Tenants, principals and credentials as data; the unit of work; row-level security."""
