"""Replay of recorded decisions under other rules: simulations, replays and shadows."""
