"""Telling people: what happened to a step, who is told, on which channel, and what came of it."""
