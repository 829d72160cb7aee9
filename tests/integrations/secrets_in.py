"""Access to secrets for connectors that are tested without a tenant."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from integrations.secrets.references import Secret, SecretReference, resolve


def secrets_in(environ: Mapping[str, str]) -> Callable[[SecretReference, str], Secret]:
    """Return access to the variables in `environ`, for any address."""
    return lambda reference, _sent_to: resolve(reference, environ)
