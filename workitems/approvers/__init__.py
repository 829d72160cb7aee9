"""Approvers of a decision step: who is eligible, who is absent, who acts for whom."""
