"""Replay reports: JSON with all findings, and HTML with a flow diagram and examples.

JSON is streamed, in units of work of its own, so memory use does not grow with the number of findings.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final, Literal

import orjson
from django.template.loader import render_to_string

from policies.models import PolicyReplay, ReplayFinding, ShadowResult
from policies.replay.report_view import flow_diagram, place_rows, sentences
from policies.replay.summary import why_sentence
from policies.replay.titled_examples import with_titles
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.sentences import sentence

type Kind = Literal["flip", "asking", "not_replayable"]

KINDS: Final[tuple[Kind, ...]] = ("flip", "asking", "not_replayable")
EXAMPLES: Final = 50
_AT_ONCE: Final = 1000
_FIRST: Final = uuid.UUID(int=0)
_HEADINGS: Final = {"flip": "flips", "asking": "other_approvals", "not_replayable": "not_replayable_decisions"}


def represent_finding(finding: ReplayFinding | ShadowResult) -> dict[str, Any]:
    """Return the API representation of one finding."""
    shown = {"policy_decision_id": ids.public_id(ids.POLICY_DECISION, finding.decision_id), **finding.case}
    if finding.kind == "not_replayable":
        why = finding.found["why"]
        return {**shown, "why": why, "detail": why_sentence(why), "rules": finding.found["rules"]}
    before, after = finding.found["from"], finding.found["to"]
    return {
        **shown,
        "from": before["effect"],
        "from_reasons": before["reasons"],
        "to": after["effect"],
        "to_reasons": after["reasons"],
        "people": finding.found["people"],
    }


def findings(replay: PolicyReplay, kind: Kind) -> Iterator[ReplayFinding]:
    """Yield all findings of one kind, oldest decision first. Opens its own units of work."""
    last = _FIRST
    while True:
        with unit_of_work(replay.tenant_id):
            batch = first_findings(replay, kind, most=_AT_ONCE, after=last)
        yield from batch
        if len(batch) < _AT_ONCE:
            return
        last = batch[-1].decision_id


def first_findings(replay: PolicyReplay, kind: Kind, *, most: int, after: uuid.UUID = _FIRST) -> list[ReplayFinding]:
    """Return the first findings of one kind about decisions after `after`."""
    rows = ReplayFinding.objects.filter(tenant_id=replay.tenant_id, replay_id=replay.id, kind=kind)
    return list(rows.filter(decision_id__gt=after).order_by("decision_id")[:most])


def list_json(replay: PolicyReplay, kind: Kind) -> Iterator[str]:
    """Yield all findings of one kind as pieces of a JSON array."""
    separator = "["
    for finding in findings(replay, kind):
        yield separator + orjson.dumps(represent_finding(finding)).decode()
        separator = ","
    yield "[]" if separator == "[" else "]"


def json_report(replay: PolicyReplay, head: dict[str, Any]) -> Iterator[bytes]:
    """Yield the full report as JSON: `head` (the replay as in the API), its document, and all findings."""
    yield orjson.dumps({**head, "document": replay.document})[:-1]
    for kind in KINDS:
        yield f',"{_HEADINGS[kind]}":'.encode()
        for piece in list_json(replay, kind):
            yield piece.encode()
    yield b"}"


def html_report(replay: PolicyReplay, *, ctx: ActingContext) -> str:
    """Return a self-contained HTML page without scripts or external resources, with titles that the reader may read.

    Needs a unit of work.
    """
    page = with_titles(report_context(replay), ctx=ctx)
    return render_to_string("policies/replay_report.html", {"replay": replay, **page})


def report_context(replay: PolicyReplay, *, most: int = EXAMPLES) -> dict[str, Any]:
    """Return the template context of page and report, with the first findings as examples. Needs a unit of work."""
    return {
        **found_context(replay.summary),
        "examples": list(map(represent_finding, first_findings(replay, "flip", most=most))),
        "unanswered": list(map(represent_finding, first_findings(replay, "not_replayable", most=most))),
    }


def found_context(summary: dict[str, Any]) -> dict[str, Any]:
    """Return the template context of a summary: sentences, diagram and tables."""
    unanswerable = summary.get("not_replayable_because", {})
    return {
        "sentences": sentences(summary),
        "diagram": flow_diagram(summary),
        "flips": summary.get("flips", []),
        "places": [
            (title, place_rows(summary.get(name, {})))
            for title, name in ((sentence("By workflow"), "workflows"), (sentence("By channel"), "channels"))
        ],
        "reasons": [
            (why_sentence(reason), counts["count"], [name for name in counts if name != "count"])
            for reason, counts in unanswerable.items()
        ],
    }
