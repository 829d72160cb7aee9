"""Decision steps: opening, voting, claiming, reassignment, escalation and deadlines."""
