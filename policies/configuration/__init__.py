"""Objects of the rulebook other than policies: workflows, channels, lists, calendars, overlays and packs."""
