"""What the ledger does: record receipts, note refusals, prepare exports."""
