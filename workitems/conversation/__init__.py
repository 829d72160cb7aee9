"""Conversation about work items: comments, questions to the requester, and watching."""
