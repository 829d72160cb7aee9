"""Search of work items: documents of words, their upkeep, and queries."""
