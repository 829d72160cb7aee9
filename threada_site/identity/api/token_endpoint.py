"""`POST /token`: exchange of a token of a trusted issuer for a Threada token (RFC 8693)."""

from __future__ import annotations

from typing import Any, Final

import orjson
import structlog
from django.http import HttpResponse
from rest_framework.views import APIView

from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import RefusalForm, operation
from threada_site.api.refusals import as_threada_error, record_refusal, result_or_refusal
from threada_site.api.resources.field_types import INTEGER, TEXT, FieldType
from threada_site.api.resources.resource import Representation, Resource, field
from threada_site.api.shapes import shape
from threada_site.database.unit_of_work import entered_unit_of_work, set_actor
from threada_site.identity.api.token_requests import (
    ACCESS_TOKEN,
    FORM,
    GRANT,
    JWT,
    MOST_OF_BODY,
    error_body,
    read_token_request,
    refusal_body,
    status_of,
)
from threada_site.kernel import errors, tokens
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy import request_limits

_EXAMPLE: Final = {
    "grant_type": GRANT,
    "subject_token_type": JWT,
    "subject_token": "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIn0.c2lnbmF0dXJl",
    "scope": "workitems:read workitems:write",
}
_TARGET: Final = {"type": "string", "description": "Public URL, or audience of the tenant. May be repeated."}
TOKEN_REQUEST: Final = shape(
    {
        "grant_type": {"const": GRANT},
        "subject_token": {"type": "string", "description": "Token (JWT) of a trusted issuer."},
        "subject_token_type": {"const": JWT},
        "requested_token_type": {"const": ACCESS_TOKEN},
        "scope": {"type": "string", "description": "Scopes, separated by spaces. Default: those of the mapping."},
        "audience": _TARGET,
        "resource": _TARGET,
    },
    required=("grant_type", "subject_token", "subject_token_type"),
    example=_EXAMPLE,
    is_secret=True,
)
TOKEN: Final = Resource(
    "ExchangedToken",
    field("access_token", TEXT, "token", description="Threada token. It is shown once."),
    field("issued_token_type", FieldType({"const": ACCESS_TOKEN}), lambda _: ACCESS_TOKEN),
    field("token_type", FieldType({"const": "Bearer"}), lambda _: "Bearer"),
    field("expires_in", INTEGER, "seconds", description="Seconds."),
    field("scope", TEXT, lambda found: " ".join(found.scopes), description="Scopes that the principal holds now."),
    example={
        "access_token": "thr_…",
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "workitems:read workitems:write",
    },
)
_ERROR_MEMBERS: Final = ("error", "error_description", "error_uri", "reason_code", "correlation_id")
TOKEN_ERROR: Final = Representation(
    "TokenError",
    {
        "type": "object",
        "properties": {name: {"type": "string"} for name in _ERROR_MEMBERS},
        "required": list(_ERROR_MEMBERS),
        "description": "Refusal in the form of RFC 6749, with the reason code and the correlation id.",
    },
)
_REASONS: Final = (
    "token_request_invalid",
    "token_grant_unsupported",
    "token_scope_invalid",
    "token_target_invalid",
    "token_client_refused",
    "workload_token_malformed",
    "workload_algorithm_refused",
    "workload_token_expired",
    "workload_token_not_yet_valid",
    "workload_token_untrusted",
    "workload_not_mapped",
    "workload_is_person",
    "principal_inactive",
    "payload_too_large",
    "quota_exceeded",
    "rate_limited",
    "internal_error",
    "service_unavailable",
    "audit_unavailable",
)


class TokenEndpoint(APIView):
    """Token endpoint without client authentication: the subject token says who asks."""

    http_method_names = ["post"]
    authentication_classes = ()
    permission_classes = ()
    parser_classes = ()
    content_negotiation_class = AnyNegotiation

    @operation(
        "exchangeToken",
        "Exchange a token of a trusted issuer for a Threada token",
        tag="Trusted issuers",
        body=TOKEN_REQUEST,
        body_media_type=FORM,
        answers={200: TOKEN},
        reasons=_REASONS,
        refusal_form=RefusalForm(TOKEN_ERROR, status_of, error_body),
    )
    def post(self, request: Any) -> HttpResponse:
        """Issue a token for the service or agent that the trusted issuer maps the subject token to (RFC 8693).

        It has no more scopes than the mapping, ends with the subject token at the latest, and with the version of the
        trusted issuer. Refusals have the form of RFC 6749, with the reason code and the correlation id.
        """
        outcome = result_or_refusal(lambda: _issued(request), inside=entered_unit_of_work())
        if isinstance(outcome, ThreadaError):
            return _refused(outcome, request)
        return _answer(200, outcome)


def _issued(request: Any) -> dict[str, Any]:
    if request.headers.get("Authorization"):
        raise errors.TokenClientRefused(headers={"WWW-Authenticate": 'Basic realm="threada"'})
    asked = read_token_request(_body(request))
    request.subject_token_sha256 = digest = tokens.digest(asked.subject_token)
    request_limits.admit_unknown(digest, request.META)
    from threada_site.identity.trusted_issuers.authenticate import enter_tenant  # joserfc is loaded on first use
    from threada_site.identity.trusted_issuers.exchange import exchange_token
    from threada_site.identity.trusted_issuers.verification import verify_token

    verified = verify_token(asked.subject_token)
    ctx, refusal = enter_tenant(verified, correlation_id=request.correlation_id)
    request.acting_context = ctx
    set_actor(ctx)
    structlog.contextvars.bind_contextvars(actor=ctx.actor)
    if refusal is not None:
        raise refusal
    request_limits.charge(ctx)
    found = exchange_token(verified, scopes=asked.scopes, targets=asked.targets, ctx=ctx)
    return TOKEN.represent(found)


def _body(request: Any) -> bytes:
    if (request.content_type or "").partition(";")[0].strip().lower() != FORM:
        raise errors.TokenRequestInvalid(f"Send Content-Type: {FORM}.")
    raw = request.read(MOST_OF_BODY + 1)
    if len(raw) > MOST_OF_BODY:
        raise errors.PayloadTooLarge(f"The body has more than the {MOST_OF_BODY} bytes allowed.")
    return raw


def _refused(refusal: ThreadaError, request: Any) -> HttpResponse:
    """Charge and record a refusal, and return its answer."""
    ctx, digest = getattr(request, "acting_context", None), getattr(request, "subject_token_sha256", None)
    try:
        if ctx is None and digest is not None and refusal.status < 429:
            refusal = request_limits.charge_refused(digest, request.META, refusal)
        record_refusal(refusal, ctx=ctx, request=request)
    except Exception as error:  # noqa: BLE001 - a refusal that cannot be recorded is still a refusal
        refusal = as_threada_error(error)
    status, body = refusal_body(refusal, correlation_id=request.correlation_id)
    return _answer(status, body, refusal.headers)


def _answer(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> HttpResponse:
    secret = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return HttpResponse(
        orjson.dumps(body), status=status, content_type="application/json", headers={**(headers or {}), **secret}
    )
