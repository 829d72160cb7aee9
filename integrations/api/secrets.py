"""Endpoints `/secrets`: credentials of integrations. Values are written here and never returned."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from rest_framework.response import Response

from integrations import selectors
from integrations.api.resources import SECRET
from integrations.configuration.secrets import MOST_ORIGINS, remove_secret, upsert_secret
from integrations.models import StoredSecret
from threada_site.api.filters import NoFilters, apply_filters
from threada_site.api.idempotency import idempotent
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY, SLUG, shape
from threada_site.api.views import TenantView, path_slug
from threada_site.kernel import errors
from threada_site.kernel.context import Scope

_ORIGINS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}}
PUT_SECRET: Final = shape(
    {
        "secret_id": SLUG,
        "value": {"type": "string", "minLength": 1, "maxLength": 65536, "writeOnly": True},
        "origins": {
            **_ORIGINS,
            "maxItems": MOST_ORIGINS,
            "default": [],
            "description": "Addresses that the secret may be sent to: https://host[:port][/prefix], "
            "smtps://host[:port] or smtp+starttls://host[:port]. Plain http needs the operator's permission. A secret "
            "without origins is sent nowhere; it can verify callbacks.",
        },
    },
    required=("secret_id", "value"),
    is_secret=True,
    example={"secret_id": "bank_token", "value": "s3cr3t", "origins": ["https://bank.example/api"]},
)


class Secrets(TenantView):
    scopes: ClassVar = {"GET": Scope.INTEGRATIONS_MANAGE, "POST": Scope.INTEGRATIONS_MANAGE}
    body_is_secret: ClassVar = True

    @operation(
        "listSecrets",
        "List secrets by name",
        tag="Integrations",
        answers={200: page_of(SECRET)},
        filters=NoFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        require(request.auth, Scope.INTEGRATIONS_MANAGE)
        rows = apply_filters(NoFilters, selectors.stored_secrets(request.auth), request)
        return Response(paginate(rows, request, represent=SECRET.represent))

    @operation(
        "putSecret",
        "Create a secret, or change its value",
        tag="Integrations",
        body=PUT_SECRET,
        answers={200: SECRET, 201: SECRET},
        headers=("Location",),
        may_need_confirmation=True,
    )
    @idempotent
    def post(self, request: Any) -> Response:
        """Store a secret. It is encrypted and never returned; documents refer to it as `{stored: secret_id}`.

        Calls use the new value immediately and send it to the given origins only. Where `policy_four_eyes` is required,
        the value waits encrypted, for at most seven days, until a second person publishes the change set, which shows
        its name, its origins and a keyed fingerprint of the value. Removing a secret takes effect immediately.
        """
        body = PUT_SECRET.check(request.data)
        require(request.auth, Scope.INTEGRATIONS_MANAGE)
        result = upsert_secret(body["secret_id"], body["value"], origins=body.get("origins", []), ctx=request.auth)
        return Response(
            SECRET.represent(result.row),
            status=201 if result.is_new else 200,
            headers={"Location": f"/secrets/{result.row.slug}"},
        )


class SecretDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.INTEGRATIONS_MANAGE}

    @operation("readSecret", "Read a secret without its value", tag="Integrations", answers={200: SECRET})
    def get(self, request: Any, secret_id: str) -> Response:
        require(request.auth, Scope.INTEGRATIONS_MANAGE)
        return Response(SECRET.represent(_found(request, secret_id)))


class RemoveSecret(TenantView):
    scopes: ClassVar = {"POST": Scope.INTEGRATIONS_MANAGE}

    @operation(
        "removeSecret",
        "Delete an unused secret",
        tag="Integrations",
        body=EMPTY,
        answers={204: None},
        reasons=("in_use",),
    )
    @idempotent
    def post(self, request: Any, secret_id: str) -> Response:
        EMPTY.check(request.data)
        require(request.auth, Scope.INTEGRATIONS_MANAGE)
        remove_secret(_found(request, secret_id, for_update=True), ctx=request.auth)
        return Response(status=204)


def _found(request: Any, secret_id: str, *, for_update: bool = False) -> StoredSecret:
    rows = selectors.stored_secrets(request.auth)
    found = (rows.select_for_update() if for_update else rows).filter(slug=path_slug(secret_id)).first()
    if found is None:
        raise errors.NotFound
    return found
