"""What can be done to the rulebook: put workflows, channels and lists, draft, publish and retire policies, decide."""
