"""Command palette: pages, actions and work items, as a page and as JSON for the script."""
