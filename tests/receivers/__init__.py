"""Receivers in their own processes, for tests of outbound calls."""
