"""`/policy-replays`: comparisons of a version with recorded decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.decorators import action
from rest_framework.response import Response

from policies import selectors
from policies.api.filters import ReplayFilters, ReportFilters
from policies.api.resources.trials import POLICY_REPLAY, REPLAY_REPORT
from policies.documents.overlay import parse_overlay
from policies.lifecycle import ReplayStatus
from policies.models import PolicyReplay
from policies.replay.reports import html_report, json_report
from policies.replay.request import Against, ReplayRequest, cancel_replay, resume_replay
from telemetry.receipts.format import Subject
from threada_site.api.filters import read_instant
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.permissions import require
from threada_site.api.viewsets import TenantViewSet, listing, verb
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError


class PolicyReplayViewSet(TenantViewSet):
    id_prefix = ids.POLICY_REPLAY
    lookup_url_kwarg = "policy_replay_id"
    resource = POLICY_REPLAY
    tag = "Policies"

    def get_queryset(self) -> QuerySet[PolicyReplay]:
        rows = selectors.replays(self.request.auth)
        return rows.select_for_update(of=("self",)) if self.action in ("cancel", "resume") else rows

    def get_object(self) -> PolicyReplay:
        replay: PolicyReplay = super().get_object()
        self.subject = Subject(policy_version_id=replay.policy_version_id, status=replay.status)
        return replay

    @listing(
        "listPolicyReplays",
        "List replays, newest first",
        POLICY_REPLAY,
        scope=Scope.WORKITEMS_READ,
        filters=ReplayFilters,
    )
    def list(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return self.page(self.filter_queryset(self.get_queryset().defer("document")))

    @operation(
        "readPolicyReplay",
        "Read a replay with its progress and results",
        scope=Scope.WORKITEMS_READ,
        answers={200: POLICY_REPLAY},
        headers=("Retry-After",),
    )
    def retrieve(self, request: Any, policy_replay_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return answer_replay(self.get_object())

    @action(detail=True, content_negotiation_class=AnyNegotiation)
    @operation(
        "downloadPolicyReplayReport",
        "Download the report of a replay",
        scope=Scope.WORKITEMS_READ,
        answers={200: REPLAY_REPORT},
        filters=ReportFilters,
    )
    def report(self, request: Any, policy_replay_id: str) -> HttpResponseBase:
        """JSON with every flip and every decision that is not replayable; `format=html` gives a page with a diagram."""
        require(request.auth, Scope.WORKITEMS_READ)
        replay = self.get_object()
        self.filter_queryset(PolicyReplay.objects.none())
        return report_of(replay, request.query_params.get("format", "json"), ctx=request.auth)

    @verb(
        "cancelPolicyReplay",
        "Cancel a replay",
        scope=Scope.POLICIES_WRITE,
        answers={200: POLICY_REPLAY},
        reasons=("transition_not_allowed",),
    )
    def cancel(self, request: Any, policy_replay_id: str) -> Response:
        replay = self.get_object()
        cancel_replay(replay, ctx=request.auth)
        return self.shown(replay)

    @verb(
        "resumePolicyReplay",
        "Resume a replay that was cancelled or failed",
        scope=Scope.POLICIES_WRITE,
        answers={202: POLICY_REPLAY},
        headers=("Retry-After",),
        reasons=("transition_not_allowed", "quota_exceeded"),
    )
    def resume(self, request: Any, policy_replay_id: str) -> Response:
        """Continues at the last position; nothing is counted twice."""
        replay = self.get_object()
        resume_replay(replay, ctx=request.auth)
        return answer_replay(replay, status=202)


def report_of(replay: PolicyReplay, form: str, *, ctx: ActingContext) -> HttpResponseBase:
    """Return the report as a download."""
    headers = {
        "Content-Disposition": f'attachment; filename="{replay.public_id}.{form}"',
        "Cache-Control": "private, no-store",
    }
    if form == "html":
        return HttpResponse(html_report(replay, ctx=ctx), headers=headers, content_type="text/html; charset=utf-8")
    return StreamingHttpResponse(
        json_report(replay, POLICY_REPLAY.represent(replay)), headers=headers, content_type="application/json"
    )


def replay_asked(body: dict[str, Any]) -> ReplayRequest:
    """Return the replay that a request body describes. Raise `InvalidRequest`, `DocumentInvalid`."""
    scopes = None
    if "scopes" in body:
        scopes = tuple(parse_overlay({"policy": "any", "scope": scope}).scope for scope in body["scopes"])
    return ReplayRequest(
        created_after=_instant(body, "created_after"),
        created_before=_instant(body, "created_before"),
        against=Against(body.get("against", Against.IN_FORCE)),
        scopes=scopes,
    )


def _instant(body: dict[str, Any], field: str) -> datetime | None:
    try:
        return read_instant(body.get(field))
    except forms.ValidationError as error:
        field_error = FieldError(f"/{field}", str(error.message), "invalid")
        raise errors.InvalidRequest(errors=[field_error]) from None


def answer_replay(replay: PolicyReplay, *, status: int = 200, **headers: str) -> Response:
    """Return the replay, with `Retry-After` while it runs."""
    waits = ReplayStatus(replay.status) in (ReplayStatus.REQUESTED, ReplayStatus.RUNNING)
    retry = {"Retry-After": "1"} if waits else {}
    return Response(POLICY_REPLAY.represent(replay), status=status, headers={**headers, **retry})
