"""Checklist of stewards in a new tenant, on the dashboard."""
