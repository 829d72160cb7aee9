"""`/secrets`: credentials of integrations. Values are written here and never returned."""

from __future__ import annotations

from typing import Any, Final

from django.db.models import QuerySet
from rest_framework.response import Response

from integrations import selectors
from integrations.api.resources import SECRET
from integrations.configuration.secrets import MOST_ORIGINS, remove_secret, upsert_secret
from integrations.models import StoredSecret
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.shapes import SLUG, shape
from threada_site.api.views import path_slug
from threada_site.api.viewsets import TenantViewSet, creation, listing, verb
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


class SecretViewSet(TenantViewSet):
    lookup_url_kwarg = "secret_id"
    resource = SECRET
    tag = "Integrations"

    def get_queryset(self) -> QuerySet[StoredSecret]:
        require(self.request.auth, Scope.INTEGRATIONS_MANAGE)
        rows = selectors.stored_secrets(self.request.auth)
        return rows.select_for_update() if self.action == "remove" else rows

    def get_object(self) -> StoredSecret:
        found = self.get_queryset().filter(slug=path_slug(self.kwargs["secret_id"])).first()
        if found is None:
            raise errors.NotFound
        return found

    @listing("listSecrets", "List secrets by name", SECRET, scope=Scope.INTEGRATIONS_MANAGE)
    def list(self, request: Any) -> Response:
        return self.page()

    @creation(
        "putSecret",
        "Create a secret, or change its value",
        scope=Scope.INTEGRATIONS_MANAGE,
        body=PUT_SECRET,
        answers={200: SECRET, 201: SECRET},
        headers=("Location",),
        may_need_confirmation=True,
    )
    def create(self, request: Any, body: dict[str, Any]) -> Response:
        """Store a secret. It is encrypted and never returned; documents refer to it as `{stored: secret_id}`.

        Calls use the new value immediately and send it to the given origins only. Where `policy_four_eyes` is required,
        the value waits encrypted, for at most seven days, until a second person publishes the change set, which shows
        its name, its origins and a keyed fingerprint of the value. Removing a secret takes effect immediately.
        """
        require(request.auth, Scope.INTEGRATIONS_MANAGE)
        result = upsert_secret(body["secret_id"], body["value"], origins=body.get("origins", []), ctx=request.auth)
        return self.shown(result.row, status=201 if result.is_new else 200, Location=f"/secrets/{result.row.slug}")

    @operation("readSecret", "Read a secret without its value", scope=Scope.INTEGRATIONS_MANAGE, answers={200: SECRET})
    def retrieve(self, request: Any, secret_id: str) -> Response:
        return self.shown(self.get_object())

    @verb(
        "removeSecret",
        "Delete an unused secret",
        scope=Scope.INTEGRATIONS_MANAGE,
        answers={204: None},
        reasons=("in_use",),
    )
    def remove(self, request: Any, secret_id: str) -> Response:
        remove_secret(self.get_object(), ctx=request.auth)
        return Response(status=204)
