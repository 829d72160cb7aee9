"""Replay of the newest decisions while a text is edited: short steps, each on its own, and nothing is stored.

A step evaluates for a fraction of a second and returns counts and a cursor; the editor asks for the next step, or
starts again with the next text. So no request lasts longer than a step, and an abandoned text costs at most one.
Steps use the evaluator of the tenant like every untried rule, and leave one evaluator of the process to others.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from django.db import OperationalError, connection, transaction

from policies.deciding.comparison import Asking, Comparison, Unanswerable
from policies.drafts.edit import policy_spec
from policies.evaluator.pool import BUSY
from policies.evaluator.runs import EvaluatorRun, evaluator_run
from policies.language.rules import Effect
from policies.models import Policy, PolicyDecision
from policies.replay.candidate import DRAFT, Candidate, candidate_of, candidate_version
from policies.replay.comparing import Comparer, ComparisonSetup
from policies.replay.preview_share import PreviewShare
from policies.replay.recorded_decisions import recorded_decisions
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import EvaluatorBusy

STEP_S: Final = 0.7
"""Seconds of one step; the longest time that a newer text, or another run of the tenant, waits."""
FIRST: Final = 2_000
MOST: Final = 10_000
"""Newest decisions that are replayed without and with request."""
_SEARCH_MS: Final = 1_500
"""Time to find decisions of the policy among those of others."""
_DENY: Final = str(Effect.DENY)


share: Final = PreviewShare()


@dataclass(frozen=True, slots=True)
class PreviewCounts:
    """Differences to the version in force. `seen` counts all decisions that were read, also without comparison."""

    seen: int = 0
    replayed: int = 0
    approvals_more: int = 0
    approvals_fewer: int = 0
    approvals_changed: int = 0
    denials_more: int = 0
    denials_fewer: int = 0
    others: int = 0
    not_replayable: int = 0

    @classmethod
    def read(cls, sent: Mapping[str, Any]) -> PreviewCounts:
        """Return the counts of earlier steps as the editor sends them back; nothing depends on them."""
        texts = {name: str(sent.get(name, "")) for name in cls.__dataclass_fields__}
        return cls(**{name: int(text) for name, text in texts.items() if text.isdecimal() and len(text) < 7})

    def plus(self, found: Comparison | Unanswerable | None) -> PreviewCounts:
        """Return the counts with one more decision. None: the policy does not apply to it."""
        counted = {"seen": self.seen + 1}
        if isinstance(found, Unanswerable):
            counted["not_replayable"] = self.not_replayable + 1
        elif found is not None:
            counted["replayed"] = self.replayed + 1
            for name in _differences(found):
                counted[name] = getattr(self, name) + 1
        return replace(self, **counted)

    def as_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PreviewStep:
    """Counts so far, and the oldest decision that was read. `is_over`: there is nothing older to read."""

    counts: PreviewCounts
    cursor: uuid.UUID | None
    is_over: bool


def preview_step(
    policy: Policy,
    document: Any,
    *,
    counts: PreviewCounts,
    cursor: uuid.UUID | None,
    most: int,
    ctx: ActingContext,
) -> PreviewStep:
    """Compare the next newest decisions with `document` in place of the version in force.

    Reads the decisions that the caller may read. Raises `EvaluatorBusy`, `PolicyDocumentInvalid`.
    """
    left = min(most, MOST) - counts.seen
    if left <= 0:
        return PreviewStep(counts, cursor, is_over=True)
    ends = time.monotonic() + STEP_S
    with share.taken(tenant=ctx.tenant_id, person=ctx.principal_id), evaluator_run(ctx.tenant_id, wait_ms=0) as run:
        spec = policy_spec(document, slug=policy.slug)
        candidate = candidate_of(policy.slug, spec, version_id=DRAFT)
        baseline = candidate_version(policy.in_force) if policy.in_force else None
        comparer = Comparer(ComparisonSetup(candidate=candidate, baseline=baseline), ctx=ctx)
        return _step(candidate, comparer, run, counts=counts, cursor=cursor, left=left, ends=ends, ctx=ctx)


def _step(
    candidate: Candidate,
    comparer: Comparer,
    run: EvaluatorRun,
    *,
    counts: PreviewCounts,
    cursor: uuid.UUID | None,
    left: int,
    ends: float,
    ctx: ActingContext,
) -> PreviewStep:
    rows = PolicyDecision.objects.filter(tenant_id=ctx.tenant_id, versions__contains=[{"policy": candidate.policy}])
    if cursor is not None:
        rows = rows.filter(id__lt=cursor)
    read = 0
    with _searching_briefly():
        for recorded in recorded_decisions(rows.order_by("-id")[:left]):
            compared = comparer.compare(recorded, run=run)
            counts, cursor = counts.plus(compared.found if compared else None), recorded.id
            read += 1
            if run.stopped:  # a rule that has to be killed would cost a second with every decision
                return PreviewStep(counts, cursor, is_over=True)
            if time.monotonic() > ends:
                return PreviewStep(counts, cursor, is_over=read == left)
    return PreviewStep(counts, cursor, is_over=True)


@contextmanager
def _searching_briefly() -> Iterator[None]:
    """Limit the time of each statement. Raises `EvaluatorBusy` if the decisions are not found in time."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = {_SEARCH_MS}")
            yield
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")
    except OperationalError:
        raise EvaluatorBusy(headers=BUSY) from None


def _differences(found: Comparison) -> Iterator[str]:
    """Yield the names of the counts that a comparison adds to."""
    names = {
        Asking.APPEARS: "approvals_more",
        Asking.VANISHES: "approvals_fewer",
        Asking.CHANGES: "approvals_changed",
    }
    told = [names[found.asking]] if found.asking is not None else []
    if (found.before.effect == _DENY) != (found.after.effect == _DENY):
        told.append("denials_more" if found.after.effect == _DENY else "denials_fewer")
    yield from told or (["others"] if found.is_flip else [])
