"""Decides which address a secret may be sent to. All code that reads a secret asks here first."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from integrations.attempts.failures import TransportFailure, origin_refused
from integrations.models import StoredSecret
from integrations.secrets.origins import Origin, UnusableOrigin, is_confidential, parse_origin, shown_address
from integrations.secrets.references import (
    FOR_CALLBACKS,
    Secret,
    SecretReference,
    is_listed_for_callbacks,
    listed_origins,
    resolve,
)
from integrations.secrets.vault import reveal
from integrations.transport import EgressPolicy
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import DocumentInvalid, FieldError, SecretOriginRefused, SecretReferenceNotAllowed


@dataclass(frozen=True, slots=True)
class SecretAccess:
    """Reads secrets for the calls of a tenant.

    `operator_address` is the address in a document that the instance's operator applied: its references to environment
    and files need not be listed, and are sent there only, and to the `token_url` of the document.
    `version_id` is the integration version, whose calls use its access token.
    """

    tenant_id: uuid.UUID
    tenant: str
    operator_address: str = ""
    token_url: str = ""
    version_id: uuid.UUID | None = None

    def __call__(self, reference: SecretReference, sent_to: str) -> Secret:
        """Return the secret for a call to the address `sent_to`.

        Raises `TransportFailure`: `secret_origin_refused`, or `credential_unavailable` if it cannot be read.
        """
        require_confidential(sent_to)
        if reference.source == "stored":
            return reveal(reference.name, tenant_id=self.tenant_id, sent_to=sent_to)
        origins = _listed(reference, self.tenant)
        if self.operator_address:
            own = (self.operator_address, self.token_url.partition("?")[0])
            origins = [*origins, *(parse_origin(address) for address in own if address)]
        if not any(origin.covers(sent_to) for origin in origins):
            raise origin_refused(f"THREADA_SECRET_REFS does not list {reference} for {shown_address(sent_to)}.")
        return resolve(reference)

    def verifying(self, reference: SecretReference) -> Secret:
        """Return a secret that verifies callbacks in this process and is sent nowhere. It needs no origin.

        Raises `TransportFailure` (`secret_origin_refused`, `credential_unavailable`).
        """
        if reference.source == "stored":
            return reveal(reference.name, tenant_id=self.tenant_id, sent_to=None)
        if not (self.operator_address or _may_verify(reference, self.tenant)):
            raise origin_refused(f"THREADA_SECRET_REFS does not list {reference}.")
        return resolve(reference)


def require_confidential(sent_to: str) -> None:
    """Raise `TransportFailure` (`secret_origin_refused`) if a secret would be sent to `sent_to` over plain http."""
    egress = EgressPolicy(settings.THREADA_EGRESS_ALLOW)
    if not is_confidential(sent_to, egress=egress, plain=plain_origins()):
        raise origin_refused(
            f"No secret is sent to {shown_address(sent_to)} over plain http. Use https, or ask the instance's operator "
            "to list the address in THREADA_PLAIN_SECRET_ORIGINS."
        )


def check_references(references: Sequence[SecretReference], *, sent_to: str, pointer: str, ctx: ActingContext) -> None:
    """Check, before a document at `pointer` is stored, that its secrets exist and may be sent to `sent_to`.

    Raises `DocumentInvalid`, `SecretReferenceNotAllowed`, `SecretOriginRefused`.
    """
    if not references:
        return
    try:
        require_confidential(sent_to)
    except TransportFailure as failure:
        raise _refused(pointer, failure.detail) from None
    origins = _stored_origins(references, pointer=pointer, ctx=ctx)
    for reference in references:
        if reference.source == "stored":
            allowed = [parse_origin(text) for text in origins[reference.name]]
        elif not (allowed := _listed(reference, ctx.tenant_slug)):
            raise SecretReferenceNotAllowed(
                f"The secret {reference} may not be named here. The instance's operator lists references in "
                f"THREADA_SECRET_REFS, as {ctx.tenant_slug}/{reference}@{shown_address(sent_to)}.",
                errors=[FieldError(pointer, f"{reference} is not listed", "not_allowed")],
            )
        if not any(origin.covers(sent_to) for origin in allowed):
            known = ", ".join(map(str, allowed)) or "callbacks only"
            raise _refused(pointer, f"The secret {reference} is for {known}, not for {sent_to}.")


def check_verifying(references: Sequence[SecretReference], *, pointer: str, ctx: ActingContext) -> None:
    """Check, before a document at `pointer` is stored, that its secrets for callbacks exist. They need no origin.

    Raises `DocumentInvalid`, `SecretReferenceNotAllowed`.
    """
    _stored_origins(references, pointer=pointer, ctx=ctx)
    for reference in references:
        if reference.source != "stored" and not _may_verify(reference, ctx.tenant_slug):
            raise SecretReferenceNotAllowed(
                f"The secret {reference} may not be named here. The instance's operator lists references in "
                f"THREADA_SECRET_REFS, as {ctx.tenant_slug}/{reference}{FOR_CALLBACKS}.",
                errors=[FieldError(pointer, f"{reference} is not listed", "not_allowed")],
            )


def checked_origin(text: str) -> str:
    """Return the canonical text of an origin that a secret may be stored for. Raises `UnusableOrigin`."""
    origin = str(parse_origin(text))
    try:
        require_confidential(origin)
    except TransportFailure as failure:
        raise UnusableOrigin(failure.detail) from None
    return origin


def plain_origins() -> tuple[Origin, ...]:
    """Return the origins that secrets may be sent to over plain http. Raises `UnusableOrigin`."""
    return _parsed(tuple(settings.THREADA_PLAIN_SECRET_ORIGINS))


@lru_cache(maxsize=16)
def _parsed(texts: tuple[str, ...]) -> tuple[Origin, ...]:
    return tuple(parse_origin(text) for text in texts)


def _listed(reference: SecretReference, tenant: str) -> list[Origin]:
    return listed_origins(reference, settings.THREADA_SECRET_REFS, tenant=tenant)


def _may_verify(reference: SecretReference, tenant: str) -> bool:
    return is_listed_for_callbacks(reference, settings.THREADA_SECRET_REFS, tenant=tenant)


def _stored_origins(references: Sequence[SecretReference], *, pointer: str, ctx: ActingContext) -> dict[str, list[str]]:
    """Return the origins of the stored secrets among `references`, by name. Raises `DocumentInvalid`."""
    names = {reference.name for reference in references if reference.source == "stored"}
    stored = StoredSecret.objects.filter(tenant_id=ctx.tenant_id, slug__in=names)
    origins = dict(stored.values_list("slug", "origins")) if names else {}
    if missing := sorted(names - set(origins)):
        raise DocumentInvalid(errors=[FieldError(pointer, f"there is no secret {name}", "secret") for name in missing])
    return origins


def _refused(pointer: str, detail: str) -> SecretOriginRefused:
    return SecretOriginRefused(detail, errors=[FieldError(pointer, detail, "secret_origin_refused")])
