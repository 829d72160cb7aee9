"""Policy decisions: loads the rules in force, evaluates them and records the decision."""
