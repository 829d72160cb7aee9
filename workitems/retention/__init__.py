"""How long cases and their receipts are kept, what is held, and what a run has done."""
