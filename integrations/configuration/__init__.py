"""Configuration of integrations: versions, parsed documents, probes and health."""
