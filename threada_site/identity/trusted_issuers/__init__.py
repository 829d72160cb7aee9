"""Trusted issuers: their documents, and the authentication of services and agents by their tokens (JWT)."""
