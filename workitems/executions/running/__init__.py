"""A run of executions: claimed in sets, called at the same time, settled in sets."""
