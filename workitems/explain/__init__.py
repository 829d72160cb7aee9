"""Explanations of a work item for people: why it is where it is, who it waits for, what happens next."""
