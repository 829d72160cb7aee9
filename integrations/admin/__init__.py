"""Console pages of integrations and their secrets."""

from integrations.admin import integrations, secrets

__all__ = ["integrations", "secrets"]
