"""Answers to editors in the browser."""
