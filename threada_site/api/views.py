"""Base of all API views: one unit of work per request. A refusal rolls back and writes its own receipt."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, ClassVar, cast

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from rest_framework.response import Response
from rest_framework.views import APIView

from threada_site.api.bodies import tokens_of
from threada_site.api.conditional_requests.tags import tagged
from threada_site.api.idempotency import KeyReservation, replay
from threada_site.api.models import IdempotencyRecord
from threada_site.api.operations import handler_name, operation_of
from threada_site.api.parsers import MergePatchParser
from threada_site.api.problems import problem_response
from threada_site.api.refusals import as_threada_error, record_refusal, result_or_refusal
from threada_site.api.resources.proposals import proposed_response
from threada_site.database.batched_writes import Statement
from threada_site.database.unit_of_work import entered_unit_of_work, unit_of_work
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import ThreadaError
from threada_site.tenancy import request_limits
from threada_site.tenancy.change_sets import store_proposal


class TenantView(APIView):
    """View in a tenant. Authentication, permission check, service call and receipt share one transaction.

    Subclasses declare the scope of each method in `scopes` (None: any credential) and call one service per method.
    """

    http_method_names = ["get", "post", "put", "patch", "delete", "head"]
    scopes: ClassVar[dict[str, Scope | None]] = {}
    key_reservation: KeyReservation | None = None
    subject: Any = None  # subject of a refusal's receipt, once the handler has found it

    def alongside(self, request: Any) -> Statement | None:
        """Return a query for one row, to be read by the statement that authenticates, or None.

        It reads rows of the tenant `entered.tenant_id`; its parameters start at `$6`. The caller is not known yet. The
        query and its row are the attribute `read_alongside` of Django's request, if authentication has read them.
        """
        return None

    def payloads_in(self, body: Any) -> Sequence[Any]:
        """Return the payloads in a body. Their workflow says how many members their objects may have."""
        return ()

    def largest_body(self, request: Any) -> int | None:
        """Return the largest body in bytes that the tenant can use here, or None. Asked for bodies above 64 KB."""
        return None

    def check_first(self, body: Any) -> None:
        """Raise `InvalidRequest` for a body above 64 KB that is refused whatever its parts contain."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        self.key_reservation = None
        self.subject = None
        self.headers: dict[str, str] = {}
        try:
            request_limits.admit(request, tokens_of(request.META))
        except Exception as error:  # noqa: BLE001 - answered as any other refusal
            return self._refused(as_threada_error(error))
        handle = super().dispatch
        outcome = result_or_refusal(
            lambda: handle(request, *args, **kwargs),
            inside=entered_unit_of_work(),
            before_commit=self._remember_kept,
        )
        response = self._charged(request, outcome)
        request_limits.add_headers(request, response)
        return response

    def _charged(self, request: HttpRequest, outcome: HttpResponseBase | ThreadaError) -> HttpResponseBase:
        """Charge the request if `admit` could not. A failed authentication beyond the limit leaves no receipt."""
        refused = outcome if isinstance(outcome, ThreadaError) else None
        try:
            refusal = request_limits.settle(request, refused, tokens_of(request.META))
        except Exception as error:  # noqa: BLE001 - answered as any other refusal
            return self._answer(as_threada_error(error))
        if refusal is not refused:
            return self._answer(cast("ThreadaError", refusal))
        return self._refused(refusal) if refusal is not None else cast("HttpResponseBase", outcome)

    def handle_exception(self, exc: Exception) -> Response:
        """Raise the typed refusal, so that it leaves the unit of work. `dispatch` answers it afterwards."""
        raise as_threada_error(exc)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Remove reference cycles between request, view and response, which would keep large bodies in memory."""
        finalized: Any = super().finalize_response(request, response, *args, **kwargs)
        for name, value in self._ending_headers().items():
            finalized.headers[name] = value
        if request.method in ("GET", "HEAD") and finalized.status_code == 200 and isinstance(finalized, Response):
            finalized = tagged(request, finalized)
        request.parser_context = {}
        if isinstance(finalized, Response):
            finalized.renderer_context = {}  # type: ignore[attr-defined]
        vars(self).pop("head", None)  # Django's alias, a bound method
        return finalized

    def get_parsers(self) -> list[Any]:
        """Return the parsers of bodies; PATCH also takes JSON Merge Patch under its media type."""
        parsers = [*super().get_parsers()]
        return [*parsers, MergePatchParser()] if getattr(self.request, "method", "") == "PATCH" else parsers

    def replayed(self, request: Any, record: IdempotencyRecord) -> HttpResponseBase:
        """Return the answer to a request whose idempotency key has the answer `record`."""
        return replay(record)

    def _ending_headers(self) -> dict[str, str]:
        """Return the headers that announce the end of a deprecated operation."""
        declared = operation_of(type(self), handler_name(self, self._http_request.method or ""))
        return declared.deprecation.headers if declared is not None and declared.deprecation else {}

    def _remember_kept(self, refusal: ThreadaError) -> None:
        """Store the answer of a refusal that keeps its changes, together with them."""
        if self.key_reservation is not None:
            self.key_reservation.remember(self._answer(refusal))

    def _refused(self, refusal: ThreadaError) -> HttpResponseBase:
        """Record a refusal and store its answer under the idempotency key, after the rollback."""
        if isinstance(refusal, errors.ConfirmationRequired):
            proposed = refusal
            outcome = result_or_refusal(lambda: self._proposed(proposed), inside=entered_unit_of_work())
            if not isinstance(outcome, ThreadaError):
                return outcome
            refusal = outcome
        response = self._answer(refusal)
        # An answer in flight or kept with its changes is stored by another transaction.
        is_stored_elsewhere = refusal.keeps_changes or isinstance(refusal, errors.IdempotencyInFlight)
        reservation = None if is_stored_elsewhere else self.key_reservation
        try:
            first = record_refusal(
                refusal,
                ctx=getattr(self._http_request, "acting_context", None),
                request=self._http_request,
                subject=self.subject,
                instead=(lambda: reservation.remember_refusal(response)) if reservation else None,
            )
        except Exception as error:  # noqa: BLE001 - a refusal that cannot be recorded is still a refusal
            return self._answer(as_threada_error(error))
        return response if first is None else replay(first)

    def _proposed(self, refusal: errors.ConfirmationRequired) -> HttpResponseBase:
        """Store the change as a change set and its answer 202 under the idempotency key, after the rollback."""
        ctx = self._http_request.acting_context
        with unit_of_work(ctx.tenant_id, actor=ctx):
            first = self.key_reservation.reserve_key() if self.key_reservation is not None else None
            if first is not None:
                return replay(first)
            response = proposed_response(store_proposal(refusal, ctx=ctx))
            finalized: Response = self.finalize_response(self.request, response)
            if self.key_reservation is not None:
                self.key_reservation.remember(finalized)
        return finalized

    def _answer(self, refusal: ThreadaError) -> Response:
        response = problem_response(refusal, correlation_id=self._http_request.correlation_id)
        finalized: Response = self.finalize_response(self.request, response)
        return finalized

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


def path_version(prefix: str, text: str) -> dict[str, Any]:
    """Return the lookup of a version in a path, by number or public id. Raise `NotFound` for anything else."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return {"number": int(text)}
    return {"id": path_id(prefix, text)}


def path_slug(text: str) -> str:
    """Return a slug in a path. Raise `NotFound` for anything else."""
    if not ids.is_slug(text):
        raise errors.NotFound
    return text
