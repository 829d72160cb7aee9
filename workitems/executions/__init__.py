"""Executions of approved actions: request, claim, re-check, call, settlement, retry and reconciliation."""
