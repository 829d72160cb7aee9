"""Endpoints `…/replay` and `/policy-replays`."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.response import Response

from policies import selectors
from policies.api.filters import ReplayFilters, ReportFilters
from policies.api.resources.trials import POLICY_REPLAY, REPLAY_REPORT
from policies.api.simulations import found_version
from policies.api.trial_shapes import REPLAY
from policies.documents.overlay import parse_overlay
from policies.lifecycle import ReplayStatus
from policies.models import PolicyReplay
from policies.replay.reports import html_report, json_report
from policies.replay.request import Against, ReplayRequest, cancel_replay, request_replay, resume_replay
from telemetry.receipts.format import Subject
from threada_site.api.filters import apply_filters, read_instant
from threada_site.api.idempotency import idempotent
from threada_site.api.negotiation import AnyNegotiation
from threada_site.api.operations import operation
from threada_site.api.pagination import paginate
from threada_site.api.permissions import require
from threada_site.api.resources.resource import page_of
from threada_site.api.shapes import EMPTY
from threada_site.api.views import TenantView, path_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError


class ReplayPolicyVersion(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_WRITE}

    @operation(
        "replayPolicyVersion",
        "Replay recorded decisions with this version",
        tag="Policies",
        body=REPLAY,
        answers={202: POLICY_REPLAY},
        headers=("Location", "Retry-After"),
        reasons=("document_invalid", "policy_document_invalid", "quota_exceeded"),
    )
    @idempotent
    def post(self, request: Any, policy_id: str, version: str) -> Response:
        """Evaluate this version on recorded facts in a job.

        The results are compared with those of the version in force, or (`against: recorded`) with the recorded
        decisions. Poll the replay until it is `finished`. `scopes` replaces the scopes of the policy.
        """
        body = REPLAY.check(request.data)
        found = found_version(self, request, policy_id, version)
        replay = request_replay(found, _asked(body), ctx=request.auth)
        return _answer(replay, status=202, headers={"Location": f"/policy-replays/{replay.public_id}"})


class PolicyReplays(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "listPolicyReplays",
        "List replays, newest first",
        tag="Policies",
        answers={200: page_of(POLICY_REPLAY)},
        filters=ReplayFilters,
        is_paged=True,
    )
    def get(self, request: Any) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        rows = apply_filters(ReplayFilters, selectors.replays(request.auth).defer("document"), request)
        return Response(paginate(rows, request, represent=POLICY_REPLAY.represent))


class PolicyReplayDetail(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}

    @operation(
        "readPolicyReplay",
        "Read a replay with its progress and results",
        tag="Policies",
        answers={200: POLICY_REPLAY},
        headers=("Retry-After",),
    )
    def get(self, request: Any, policy_replay_id: str) -> Response:
        require(request.auth, Scope.WORKITEMS_READ)
        return _answer(_found(self, request, policy_replay_id))


class PolicyReplayReport(TenantView):
    scopes: ClassVar = {"GET": Scope.WORKITEMS_READ}
    content_negotiation_class = AnyNegotiation

    @operation(
        "downloadPolicyReplayReport",
        "Download the report of a replay",
        tag="Policies",
        answers={200: REPLAY_REPORT},
        filters=ReportFilters,
    )
    def get(self, request: Any, policy_replay_id: str) -> HttpResponseBase:
        """JSON with every flip and every decision that is not replayable; `format=html` gives a page with a diagram."""
        require(request.auth, Scope.WORKITEMS_READ)
        replay = _found(self, request, policy_replay_id)
        apply_filters(ReportFilters, PolicyReplay.objects.none(), request)
        return report_of(replay, request.query_params.get("format", "json"), ctx=request.auth)


class CancelPolicyReplay(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_WRITE}

    @operation(
        "cancelPolicyReplay",
        "Cancel a replay",
        tag="Policies",
        body=EMPTY,
        answers={200: POLICY_REPLAY},
        reasons=("transition_not_allowed",),
    )
    @idempotent
    def post(self, request: Any, policy_replay_id: str) -> Response:
        EMPTY.check(request.data)
        replay = _found(self, request, policy_replay_id, for_update=True)
        cancel_replay(replay, ctx=request.auth)
        return Response(POLICY_REPLAY.represent(replay))


class ResumePolicyReplay(TenantView):
    scopes: ClassVar = {"POST": Scope.POLICIES_WRITE}

    @operation(
        "resumePolicyReplay",
        "Resume a replay that was cancelled or failed",
        tag="Policies",
        body=EMPTY,
        answers={202: POLICY_REPLAY},
        headers=("Retry-After",),
        reasons=("transition_not_allowed", "quota_exceeded"),
    )
    @idempotent
    def post(self, request: Any, policy_replay_id: str) -> Response:
        """Continues at the last position; nothing is counted twice."""
        EMPTY.check(request.data)
        replay = _found(self, request, policy_replay_id, for_update=True)
        resume_replay(replay, ctx=request.auth)
        return _answer(replay, status=202)


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


def _asked(body: dict[str, Any]) -> ReplayRequest:
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


def _answer(replay: PolicyReplay, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return the replay, with `Retry-After` while it runs."""
    waits = ReplayStatus(replay.status) in (ReplayStatus.REQUESTED, ReplayStatus.RUNNING)
    retry = {"Retry-After": "1"} if waits else {}
    return Response(POLICY_REPLAY.represent(replay), status=status, headers={**(headers or {}), **retry})


def _found(view: TenantView, request: Any, name: str, *, for_update: bool = False) -> PolicyReplay:
    rows = selectors.replays(request.auth)
    rows = rows.select_for_update(of=("self",)) if for_update else rows
    replay = rows.filter(id=path_id(ids.POLICY_REPLAY, name)).first()
    if replay is None:
        raise errors.NotFound
    view.subject = Subject(policy_version_id=replay.policy_version_id, status=replay.status)
    return replay
