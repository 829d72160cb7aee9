"""Open console sessions of people."""
