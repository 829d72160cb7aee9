"""One synthetic case at a time, in a transaction that is always rolled back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from django.db import connection

from integrations.models import Execution
from policies.language.approvals import Leaf, from_json, leaves_of
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from workitems import selectors
from workitems.executions.request_action import ActionRequest, execute_action
from workitems.items.intake import IntakeRequest, create_work_item
from workitems.items.locks import locked_item
from workitems.models import DecisionStep, WorkItem
from workitems.proof.samples import Sample
from workitems.steps.voting import Ballot, cast_vote

type Outcome = Literal["allowed", "denied", "asked"]


class TooSlowError(Exception):
    """A case took longer than its transaction may."""


class _RolledBackError(Exception):
    """Ends the transaction of a case."""


@dataclass(slots=True)
class Case:
    """A synthetic case inside its transaction. `ctx` is the operator's context."""

    ctx: ActingContext
    ends: float

    def check_time(self) -> None:
        """Raise `TooSlowError` when the time of the transaction is over, so that its locks end."""
        if time.monotonic() > self.ends:
            raise TooSlowError


@dataclass(frozen=True, slots=True)
class Asked:
    """A requested action: what the policies answered, and the rows."""

    outcome: Outcome
    item: WorkItem
    execution: Execution | None = None
    step: DecisionStep | None = None

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        """Roles, groups and people that the rule of the step asks for."""
        return leaves_of(from_json(self.step.rule).tree) if self.step is not None else ()


@contextmanager
def rolled_back_case(ctx: ActingContext, *, seconds: float) -> Iterator[Case]:
    """Open the transaction of one case. Nothing of it remains, and no statement of it waits longer than `seconds`."""
    try:
        with unit_of_work(ctx.tenant_id):
            with connection.cursor() as cursor:
                for name in ("statement_timeout", "lock_timeout"):
                    cursor.execute("SELECT set_config(%s, %s, true)", [name, f"{max(int(seconds * 1000), 1)}ms"])
            yield Case(ctx, time.monotonic() + seconds)
            raise _RolledBackError
    except _RolledBackError:
        pass


def ask(sample: Sample, case: Case, *, by: ActingContext) -> Asked:
    """Submit the sample as `by` and ask for its action."""
    request = IntakeRequest(
        workflow=sample.workflow, channel=sample.channel, payload=sample.payload, confidence=sample.confidence
    )
    item = locked_item(create_work_item(request, ctx=by).id, ctx=by)
    case.check_time()
    action = ActionRequest(integration=sample.integration, action=sample.action, input=dict(sample.input))
    try:
        started = execute_action(item, action, ctx=by)
    except errors.PolicyDenied:
        return Asked("denied", item)
    except (errors.ReviewPending, errors.ApprovalPending):
        step = selectors.decision_steps(case.ctx).filter(work_item_id=item.id).select_related("envelope").first()
        return Asked("asked", item, None, step)
    case.check_time()
    return Asked("allowed" if started.step is None else "asked", item, started.execution, started.step)


def vote(asked: Asked, case: Case, *, by: ActingContext, envelope_sha256: str | None = None) -> str:
    """Approve the step as `by`. Return the reason code of the refusal, or an empty string for a stored vote."""
    step = asked.step
    assert step is not None  # noqa: S101
    named = step.envelope.sha256 if envelope_sha256 is None else envelope_sha256
    try:
        cast_vote(asked.item, step, Ballot(decision="approve", envelope_sha256=named), ctx=by)
    except errors.ThreadaError as refusal:
        return refusal.reason_code
    finally:
        case.check_time()
    return ""
