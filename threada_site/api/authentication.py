"""Authentication: from a bearer token to an `ActingContext`, in one SQL statement of the request's transaction."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from functools import cache
from typing import Any, Final

import orjson
import structlog
from django.conf import settings
from django.db import connection
from django.utils.module_loading import import_string
from rest_framework.authentication import BaseAuthentication

from threada_site.database.batched_writes import Statement
from threada_site.database.replica_reads import POSITION
from threada_site.database.unit_of_work import mark_entered, set_actor, set_visibility
from threada_site.kernel import errors, ids, tokens
from threada_site.kernel.context import (
    ActingContext,
    Authentication,
    AuthenticationMethod,
    EntryPoint,
    PrincipalKind,
)
from threada_site.kernel.source import source_of
from threada_site.tenancy.credentials.kept_permissions import KeptPermissions, keep_permissions, kept_permissions
from threada_site.tenancy.effective_permissions import effective_permissions
from threada_site.tenancy.request_limits import admit_first

ENTRY_POINT: Final = "threada.entry_point"
"""Key of the WSGI environment: the entry point of the request, if it is not the API itself."""
METADATA_PATH: Final = "/.well-known/oauth-protected-resource"
_ENTER: Final = "SELECT * FROM threada_enter($1, $2, $3, $4, $5)"
_REFUSALS: Final[dict[str, type[errors.ThreadaError]]] = {
    "revoked": errors.CredentialRevoked,
    "expired": errors.CredentialExpired,
    "inactive": errors.PrincipalInactive,
    "frozen": errors.PrincipalFrozen,
    "unconfirmed": errors.CredentialUnconfirmed,
    "tenant_mismatch": errors.TenantMismatch,
}


def challenge() -> dict[str, str]:
    """Return the challenge of answers 401. It names the metadata of RFC 9728 if the instance knows its public URL."""
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    metadata = f', resource_metadata="{base}{METADATA_PATH}"' if base else ""
    return {"WWW-Authenticate": f'Bearer realm="threada"{metadata}'}


class CredentialAuthentication(BaseAuthentication):
    """Authentication by `Authorization: Bearer`, with a Threada token (`thr_…`) or a JWT of a trusted issuer.

    The tenant of the credential is that of the request; `Threada-Tenant` is optional and must match it.
    `Threada-Role` narrows the permissions to one role. Every other form is refused.
    """

    def authenticate(self, request: Any) -> tuple[ActingContext, ActingContext]:
        token = _bearer_token(request)
        tenant = request.META.get("HTTP_THREADA_TENANT")
        role = request.META.get("HTTP_THREADA_ROLE")
        if tenant is not None and not ids.is_slug(tenant):
            raise errors.TenantMismatch("Threada-Tenant does not name a tenant.")
        if tokens.has_form_of_jwt(token):
            return self._workload(request, token, tenant=tenant, role=role)
        source = source_of(request.META, is_behind_proxy=settings.THREADA_TRUSTED_PROXY)
        digest = tokens.digest(token)
        kept = kept_permissions(digest, role)
        alongside = _alongside(request)
        started = time.monotonic()
        with connection.prepared_cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(
                _entering(alongside.sql if alongside else None, is_located=bool(settings.THREADA_REPLICAS)),
                [
                    digest,
                    tenant,
                    source.network,
                    kept and kept.snapshot,
                    kept and kept.visibility,
                    *(alongside.params if alongside else ()),
                ],
            )
            row = cursor.fetchone()
        if row is None:
            raise errors.CredentialInvalid(headers=challenge())
        state, credential_id, user_id, username, kind, tenant_id, slug, issued_by, is_known_network, *found = row
        is_changed, snapshot, visibility, scopes, grants, *further = found
        position = further.pop(0) if settings.THREADA_REPLICAS else None
        if kept is not None and not is_changed and state == "ok":
            permissions = kept.permissions
        else:
            permissions = effective_permissions(
                _loaded(grants) or [], tenant_id=tenant_id, asked=_loaded(scopes), role=role
            )
            if snapshot is not None:
                keep_permissions(digest, role, KeptPermissions(snapshot, visibility, permissions, started))
        context = ActingContext(
            tenant_id=tenant_id,
            tenant_slug=slug,
            principal_id=user_id,
            principal_kind=PrincipalKind(kind),
            principal_name=username,
            roles=permissions.roles,
            groups=permissions.groups,
            scopes=permissions.scopes,
            grants=permissions.grants,
            visibility=permissions.visibility,
            credential_id=credential_id,
            authentication=Authentication(
                method=_method(PrincipalKind(kind), user_id=user_id, issued_by=issued_by), issued_by=issued_by
            ),
            entry_point=request.META.get(ENTRY_POINT, EntryPoint.API),
            correlation_id=request.correlation_id,
        )
        mark_entered(tenant_id, context.row_visibility)
        if role is not None:
            set_visibility(context)  # narrowed to one role, which SQL does not know
        request._request.acting_context = context
        request._request.read_since = position
        request._request.read_alongside = (alongside, tuple(further)) if alongside else None
        set_actor(context)
        structlog.contextvars.bind_contextvars(tenant=slug, actor=context.actor)
        if state != "ok":
            refusal = _REFUSALS[state]
            raise refusal(headers=challenge() if refusal.reason_code.startswith("credential") else {})
        admit_first(request._request, context)
        if not is_known_network:
            request._request.new_network = source
            import_string(settings.THREADA_NEW_NETWORK_HANDLER)(context, source)
        if role is not None and role not in permissions.roles:
            raise errors.RoleNotHeld(f"The role {role[:63]!r} is not held in this tenant.")
        return context, context

    def _workload(
        self, request: Any, token: str, *, tenant: str | None, role: str | None
    ) -> tuple[ActingContext, ActingContext]:
        """Authenticate by a token of a trusted issuer. Loads the code for it on first use."""
        authenticate = import_string(settings.THREADA_WORKLOAD_HANDLER)
        try:
            context, refused = authenticate(token, tenant=tenant, role=role, correlation_id=request.correlation_id)
        except errors.ThreadaError as refusal:
            if refusal.status == 401:
                refusal.headers = {"WWW-Authenticate": f'{challenge()["WWW-Authenticate"]}, error="invalid_token"'}
            raise
        context = replace(context, entry_point=request.META.get(ENTRY_POINT, context.entry_point))
        request._request.acting_context = context
        request._request.read_since = None
        set_actor(context)
        structlog.contextvars.bind_contextvars(actor=context.actor)
        if refused is not None:
            raise refused
        admit_first(request._request, context)
        return context, context

    def authenticate_header(self, request: Any) -> str:
        return challenge()["WWW-Authenticate"]


def _alongside(request: Any) -> Statement | None:
    """Return the query that the view of a request reads by the statement that authenticates, or None."""
    view = (request.parser_context or {}).get("view")
    ask = getattr(view, "alongside", None)
    return ask(request) if ask is not None else None


@cache
def _entering(alongside: str | None, *, is_located: bool) -> str:
    """Return the statement that authenticates, with the query `alongside` and the position in the log if asked for."""
    if alongside is None and not is_located:
        return _ENTER
    columns, joined = ["entered.*"], ""
    if is_located:
        columns.append(POSITION)
    if alongside is not None:
        columns.append("alongside.*")
        # LIMIT keeps PostgreSQL from joining the other way round: the tenant is set before its rows are read.
        joined = f" LEFT JOIN LATERAL ({alongside} LIMIT 1) AS alongside ON true"
    return f"SELECT {', '.join(columns)} FROM threada_enter($1, $2, $3, $4, $5) AS entered{joined}"


def _method(kind: PrincipalKind, *, user_id: uuid.UUID, issued_by: uuid.UUID | None) -> AuthenticationMethod:
    if issued_by is None:
        return AuthenticationMethod.OPERATOR_TOKEN
    if kind is PrincipalKind.HUMAN and issued_by == user_id:
        return AuthenticationMethod.PERSONAL_TOKEN
    return AuthenticationMethod.ISSUED_TOKEN


def _bearer_token(request: Any) -> str:
    header = request.META.get("HTTP_AUTHORIZATION", "")
    scheme, _, token = header.partition(" ")
    if not header:
        raise errors.CredentialMissing(headers=challenge())
    token = token.strip()
    if scheme.lower() != "bearer" or not tokens.may_be_accepted(token):
        raise errors.CredentialInvalid("Authorization must have the form Bearer thr_….", headers=challenge())
    return token


def _loaded(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
