"""Resources of the rulebook: workflows, policies, overlays, decisions, trials."""
