"""Services of the rulebook: configuration objects, drafts, publication, overlays and explanations."""
