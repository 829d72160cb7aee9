"""Benchmarks: `uv run python -m tests.benchmarks` prints a table of figures and ratios. See docs/performance.md."""
