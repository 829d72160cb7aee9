"""Explanations of a work item for people: reasons of its status, pending approvers, next events."""
