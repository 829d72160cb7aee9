"""Parts of the dashboard, one module per role. Each makes bounded, indexed queries only."""
