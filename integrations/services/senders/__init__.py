"""Where a batch of sealed receipts goes: one file a kind of target. Each sends outside any transaction."""
