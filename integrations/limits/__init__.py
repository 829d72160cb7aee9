"""Limits of an integration: concurrency, rate and circuit breaker, with their shared rows."""
