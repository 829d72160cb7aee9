"""Database access: backend, roles, row-level security, constraints and SQL helpers."""
