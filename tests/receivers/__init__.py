"""Receivers in their own process, for tests of everything that leaves this one."""
