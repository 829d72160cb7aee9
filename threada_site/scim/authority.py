"""Authority of a provisioning client: its credential, and the steward who alone decided on it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cached_property

from threada_site.identity.owners import without_known_owner
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, EntryPoint, PrincipalKind, system_context
from threada_site.tenancy.models import Credential


@dataclass(frozen=True)
class Client:
    """Provisioning client that acts.

    People whom it adds, or gives another external id, depend on it, and so on everybody who controls it. `sole_author`
    is the steward who issued the credential if nobody confirmed it: the grants of the client are not confirmed then.
    """

    ctx: ActingContext
    sole_author: uuid.UUID | None

    @cached_property
    def has_owner(self) -> bool:
        """Return True if it is known who controls the client."""
        unknown = without_known_owner(self.ctx.tenant_id).filter(user_id=self.ctx.principal_id)
        return not unknown.exists()

    @property
    def confirming(self) -> ActingContext:
        """Return the context for records of grants: two people, or the operator, decided on the client."""
        return system_context(
            tenant_id=self.ctx.tenant_id,
            tenant_slug=self.ctx.tenant_slug,
            correlation_id=self.ctx.correlation_id,
            entry_point=EntryPoint.API,
        )


def client_of(ctx: ActingContext) -> Client:
    """Return the client that acts. Raise `PermissionDenied` unless it is a service with a Threada token."""
    if ctx.principal_kind is not PrincipalKind.SERVICE or ctx.credential_id is None:
        raise errors.PermissionDenied("Provisioning needs the token of a service, issued here.")
    credential = Credential.objects.only("issued_by", "confirmed_by", "trusted_issuer_version_id").get(
        tenant_id=ctx.tenant_id, id=ctx.credential_id
    )
    if credential.trusted_issuer_version_id is not None:
        raise errors.PermissionDenied("A token that was exchanged does not provision. Issue one for the service.")
    return Client(ctx, credential.issued_by if credential.confirmed_by is None else None)
