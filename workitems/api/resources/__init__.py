"""Resources of work items, decision steps, executions and packs."""
