"""Drafts of policy versions: editing, validation and the check of a text in the editor."""
