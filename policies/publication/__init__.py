"""Publication and retirement of policy versions: rules, four eyes and emergencies."""
