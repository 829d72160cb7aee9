"""Executions of approved actions: request, lease, re-check, call, settlement, retry and reconciliation."""
