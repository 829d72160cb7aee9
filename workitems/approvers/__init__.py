"""Approvers of a decision step: eligibility, delegation, and the counting of votes."""
