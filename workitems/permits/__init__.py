"""Permits: bounded series of executions that approvers approve at once, their uses, narrowing and revocation."""
