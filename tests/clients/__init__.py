"""Clients of the API: ours, and those that generators make of the OpenAPI document."""
