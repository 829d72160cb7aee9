"""Roles and scopes that members are given, and their records."""
