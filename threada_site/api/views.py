"""Base of all API views: one unit of work per request. A refusal rolls back and writes its own receipt."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response
from rest_framework.views import APIView

from threada_site.api.idempotency import KeyReservation, replay
from threada_site.api.problems import as_threada_error, problem_response
from threada_site.database.unit_of_work import entered_unit_of_work, unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy.current_actor import acting


class TenantView(APIView):
    """View in a tenant. Authentication, permission check, service call and receipt share one transaction.

    Subclasses declare the scope of each method in `scopes` (None: any credential) and call one service per method.
    """

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    scopes: ClassVar[dict[str, Scope | None]] = {}
    body_is_secret: ClassVar[bool] = False  # True if the body contains secrets: its digest is keyed
    refusal: ThreadaError | None = None
    key_reservation: KeyReservation | None = None
    subject: Any = None  # subject of a refusal's receipt, once the handler has found it

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.refusal = None
        self.key_reservation = None
        self.subject = None
        self.headers: dict[str, str] = {}
        try:
            with acting(None), entered_unit_of_work():
                response = super().dispatch(request, *args, **kwargs)
                if self.refusal is not None:
                    self._keep_or_roll_back(self.refusal, response)
        except Exception as error:  # noqa: BLE001  (the edge: a commit can fail too, and must end as a problem)
            self.refusal = as_threada_error(error)
            response = self._finalized(self.refusal)
        if self.refusal is None:
            return response
        return self._settle_refusal(self.refusal, response)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Remove reference cycles between request, view and response, which would keep large bodies in memory."""
        finalized: Any = super().finalize_response(request, response, *args, **kwargs)
        request.parser_context = {}
        if isinstance(finalized, Response):
            finalized.renderer_context = {}  # type: ignore[attr-defined]
        vars(self).pop("head", None)  # Django's alias, a bound method
        return finalized

    def _keep_or_roll_back(self, refusal: ThreadaError, response: HttpResponseBase) -> None:
        if not refusal.keeps_changes:
            transaction.set_rollback(True)
        elif self.key_reservation is not None and isinstance(response, Response):
            self.key_reservation.remember(response)

    def _settle_refusal(self, refusal: ThreadaError, response: HttpResponseBase) -> HttpResponseBase:
        """Write the receipt of a refusal and its idempotency record, after the rollback."""
        context: ActingContext | None = getattr(self._http_request, "acting_context", None)
        record = import_string(settings.THREADA_REFUSAL_HANDLER)
        status = refusal.status
        if context is None or status >= 500:
            record(None, refusal, method=self.request.method, path=self.request.path)
            return response
        try:
            with unit_of_work(context.tenant_id):
                if self.key_reservation is not None and not refusal.keeps_changes and isinstance(response, Response):
                    first = self.key_reservation.remember_refusal(response)
                    if first is not None:
                        return replay(first)
                record(context, refusal, method=self.request.method, path=self.request.path, subject=self.subject)
        except Exception as error:  # noqa: BLE001  (a refusal that cannot be recorded is still a refusal)
            return self._finalized(as_threada_error(error))
        return response

    def _finalized(self, refusal: ThreadaError) -> HttpResponseBase:
        response = problem_response(refusal, correlation_id=self._http_request.correlation_id)
        return self.finalize_response(self.request, response)

    @property
    def _http_request(self) -> Any:
        """Return Django's request, which the framework has not wrapped if no transaction could be begun."""
        return getattr(self.request, "_request", self.request)

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        return csrf_exempt(super().as_view(**initkwargs))


def path_id(prefix: str, text: str) -> uuid.UUID:
    """Return the UUID of a public id in a path. Raise `NotFound` for anything else."""
    parsed = ids.parse_public_id(prefix, text)
    if parsed is None:
        raise errors.NotFound
    return parsed


def path_slug(text: str) -> str:
    """Return a slug in a path. Raise `NotFound` for anything else."""
    if not ids.is_slug(text):
        raise errors.NotFound
    return text


def etag(*parts: Any) -> str:
    """Return a strong entity tag of a state."""
    return '"' + ".".join(str(part) for part in parts) + '"'


def check_if_match(request: Any, current: str, *, required: bool = False) -> None:
    """Refuse an edit of a changed resource (412), or one without `If-Match` if it is required (428)."""
    sent = request.META.get("HTTP_IF_MATCH")
    if sent is None:
        if required:
            raise errors.PreconditionRequired("Read the resource and send its ETag as If-Match.")
        return
    if sent.strip() != "*" and current not in [part.strip() for part in sent.split(",")]:
        raise errors.PreconditionFailed(
            "The resource has changed since you read it. Read it again, then repeat your change."
        )
