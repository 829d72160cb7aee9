"""Freezes: scope, rows, and the executions they block."""
