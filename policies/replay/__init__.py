"""Evaluation of versions that are not in force: simulations, replays and shadows."""
