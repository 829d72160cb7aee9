"""Ends of memberships, and returns of people whose membership ended."""
