"""Requests that depend on the state of a resource: entity tags, PUT and PATCH of documents, waiting for a change."""
