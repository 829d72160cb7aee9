"""Evaluation of untried rules in a helper process that can be killed. See docs/adr/0040-evaluator.md."""
