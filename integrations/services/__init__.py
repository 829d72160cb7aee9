"""Writes of integrations: configuration, leases on executions, results. They do not use work items."""
