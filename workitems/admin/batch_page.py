"""Page for deciding several steps together. Shared values are shown once, differing values next to each step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from django.db.models import Prefetch
from django.urls import reverse
from django.utils.translation import gettext, ngettext

from policies import selectors as policy_selectors
from policies.language.approvals import from_json
from threada_site.admin.actions import Call, Done
from threada_site.admin.fields import plainly
from threada_site.admin.reauthentication import proof_asked, reauthenticate
from threada_site.kernel import errors, ids
from threada_site.kernel.characters import unseen_in
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import ThreadaError
from threada_site.kernel.json.pointers import dotted
from threada_site.kernel.json.truncate import shorten
from threada_site.personal_data.erasable_fields import is_erased
from workitems import selectors
from workitems.admin.contents import described, formatted_and_exact, labelled, marked
from workitems.admin.decision_page import COMMENT_LENGTH
from workitems.admin.sent import end_in_words, what_is_sent
from workitems.api.shapes import CAST_BATCH_VOTES
from workitems.items.lookalikes import lookalikes_in, texts_at
from workitems.items.questions import question_of
from workitems.items.receipts import subject_of
from workitems.items.sensitive import record_reading
from workitems.items.titles import title_of
from workitems.models import DecisionStep, Evidence
from workitems.steps.batch_limits import MOST_IN_A_BATCH
from workitems.steps.batch_voting import Chosen, cast_votes, check_together, locked_batch, step_refused
from workitems.steps.voting import Ballot

CHOICE: Final = "step"


@dataclass(frozen=True)
class BatchRow:
    """One step of the batch, with the values that differ from the other steps."""

    step: DecisionStep
    differs: list[tuple[str, str]]
    has_unseen: bool

    @property
    def title(self) -> str:
        return title_of(self.step.work_item)

    @property
    def choice(self) -> str:
        return f"{self.step.public_id}:{self.step.envelope_sha256}"


def batch_page(choices: Sequence[str], *, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context for the chosen steps.

    Raise the errors of `check_together`, and `NotFound` if the caller may read none of the steps.
    """
    wanted = [ids.parse_public_id(ids.DECISION_STEP, chosen.step_id) for chosen in chosen_in(choices)]
    rows = (
        selectors.decision_steps(ctx)
        .filter(id__in=[value for value in wanted if value is not None][: MOST_IN_A_BATCH + 1])
        .select_related("envelope", "execution", "work_item__requester", "work_item__workflow_version")
        .prefetch_related(Prefetch("work_item__evidence", queryset=Evidence.objects.order_by("position")))
        .order_by("urgent_at", "id")
    )
    steps = list(rows)
    if not steps:
        raise errors.NotFound("None of these decisions exists in this tenant.")
    check_together([(step.work_item, step) for step in steps])
    for step in steps:
        record_reading(step.work_item, ctx=ctx)
    contents = {step.id: _content(step) for step in steps}
    flat = {step.id: _lines(step, contents[step.id], ctx=ctx) for step in steps}
    shared = _shared(list(flat.values()))
    first = steps[0]
    rule = from_json(first.rule)
    return {
        "question": question_of(first),
        "first": first,
        "shared": list(shared.items()),
        "rows": [
            BatchRow(
                step,
                [(name, text) for name, text in flat[step.id].items() if name not in shared],
                has_unseen=bool(unseen_in(contents[step.id])),
            )
            for step in steps
        ],
        "too_large": [step.public_id for step in steps if shorten(contents[step.id]).is_cut],
        "asks_proof": proof_asked(
            ctx, is_required=rule.step_up, must_be_passkey=rule.authentication == "phishing_resistant"
        ),
        "reject_reasons": policy_selectors.workflow_document(
            first.work_item.workflow_version_id, ctx=ctx
        ).reject_reasons,
        "comment_length": COMMENT_LENGTH,
    }


def decide_batch(call: Call) -> Done:
    """Cast the same vote on all chosen steps, each for the envelope that was shown; all or none."""
    ctx = reauthenticate(call.request, call.ctx)
    chosen = chosen_in(call.request.POST.getlist(CHOICE))
    sent = {name: call.sent(name) for name in ("reason_code", "comment")}
    body = CAST_BATCH_VOTES.check(
        {
            "decision": call.sent("decision"),
            "steps": [{"decision_step_id": one.step_id, "envelope_sha256": one.envelope_sha256} for one in chosen],
            **{name: text for name, text in sent.items() if text},
        }
    )
    ballot = Ballot(
        decision=body["decision"],
        envelope_sha256="",
        reason_code=body.get("reason_code", ""),
        comment=body.get("comment", ""),
    )
    steps = locked_batch(chosen, ctx=ctx)
    try:
        cast = cast_votes(steps, chosen, ballot, ctx=ctx)
    except ThreadaError as refusal:
        named = step_refused(refusal, steps)
        call.subject = next((subject_of(item) for item, step in steps if step.id == named), None)
        raise
    closed = sum(entry.step.status != "pending" for entry in cast)
    if ballot.decision == "approve":
        said = ngettext("You have approved {number} decision.", "You have approved {number} decisions.", len(cast))
    else:
        said = ngettext("You have rejected {number} decision.", "You have rejected {number} decisions.", len(cast))
    said = said.format(number=len(cast))
    if closed < len(cast):
        said += " " + gettext("{number} still need votes of others.").format(number=len(cast) - closed)
    return Done(said, url=reverse("admin:workitems_decisionstep_desk"))


def chosen_in(choices: Sequence[str]) -> list[Chosen]:
    """Parse checkbox values of the form `ds_…:<hash>`. Return at most one more than a batch may hold."""
    parts = (choice[:200].partition(":") for choice in choices[: MOST_IN_A_BATCH + 1])
    return [Chosen(step_id, sha256) for step_id, _, sha256 in parts]


def _content(step: DecisionStep) -> dict[str, Any]:
    """Return the contents of a step that a person decides on."""
    envelope = orjson.loads(bytes(step.envelope.body))
    sends, ends = what_is_sent(envelope), end_in_words(envelope)
    item = step.work_item
    return {
        "requester": item.requester.username,
        "payload": item.payload,
        **({"will be sent": sends} if sends else {}),
        **({"end": ends} if ends else {}),
        "risk flags": list(item.risk_flags),
        "confidence": item.confidence,
        "evidence": [part.content for part in item.evidence.all()],
    }


def _lines(step: DecisionStep, content: dict[str, Any], *, ctx: ActingContext) -> dict[str, str]:
    """Return names and values of the contents. The payload has the labels of its schema where they are unique."""
    item = step.work_item
    document = policy_selectors.workflow_document(item.workflow_version_id, ctx=ctx)
    rows: list[Any] = []
    resembling: frozenset[str] = frozenset()
    if not is_erased(item.payload):
        alike = lookalikes_in(item, document)
        resembling = texts_at(item, alike)
        rows += labelled(described(document.payload_schema, content["payload"], alike=alike, ctx=ctx))
    lines = dict(line for name, part in content.items() for line in _flattened(name, part))
    times = Counter(label for _row, label, _path in rows)
    named = {path: (row, label) for row, label, path in rows if times[label] == 1 and label not in lines}
    return dict(
        (named[name][1], formatted_and_exact(named[name][0], text))
        if name in named
        else (name, marked(text, resembling))
        for name, text in lines.items()
    )


def _flattened(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield the dotted path and the text of each scalar and each empty object or list."""
    if isinstance(value, dict | list) and value:
        for name, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _flattened(dotted(path, name), part)
    else:
        yield path, plainly(value)


def _shared(contents: list[dict[str, str]]) -> dict[str, str]:
    """Return the values that are equal in all steps."""
    if len(contents) < 2:
        return {}
    return {name: text for name, text in contents[0].items() if all(other.get(name) == text for other in contents[1:])}
