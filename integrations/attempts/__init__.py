"""Attempts of executions: failures, outcomes and the retry rule. Pure."""
