"""Retention rules, legal holds, retention runs, archives and erasure."""
