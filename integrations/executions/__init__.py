"""Executions: dispatch, leases, envelopes, outcomes and the retry rule."""
