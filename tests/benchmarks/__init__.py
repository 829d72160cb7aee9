"""Benchmarks: `uv run python -m tests.benchmarks` prints a table of measurements and ratios. See docs/performance.md."""
