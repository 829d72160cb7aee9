"""Console sessions that an identity provider opened: each acts in the provider's tenant only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final

from threada_site.tenancy.models import User

LINK_KEY: Final = "identity_link"
"""Key of the link in the data of a session."""
_TENANT_KEY: Final = "identity_tenant"


@dataclass(frozen=True, slots=True)
class ProviderSession:
    """Session of a person whom the identity provider of one tenant signed in."""

    tenant_id: uuid.UUID
    link_id: uuid.UUID
    person: User

    def store(self, data: Any) -> None:
        """Store tenant and link in the data of a session."""
        data[_TENANT_KEY] = str(self.tenant_id)
        data[LINK_KEY] = str(self.link_id)


def is_opened_by_provider(data: Any) -> bool:
    """Return True if an identity provider opened the session with these data."""
    return LINK_KEY in data


def session_link(data: Any) -> uuid.UUID | None:
    """Return the link that opened the session; None for a session with a password."""
    return uuid.UUID(data[LINK_KEY]) if is_opened_by_provider(data) else None


def provider_tenant(data: Any) -> uuid.UUID | None:
    """Return the tenant of the identity provider that opened the session; None for a session with a password."""
    return uuid.UUID(data[_TENANT_KEY]) if is_opened_by_provider(data) else None


def may_act_in(data: Any, tenant_id: uuid.UUID) -> bool:
    """Return True if the session may act in a tenant: in any, or only in that of its identity provider."""
    return provider_tenant(data) in (None, tenant_id)
