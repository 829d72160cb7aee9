"""Parts of the model of credentials."""
