"""Changes that need a second person: the check in services, and the operations that change sets carry out.

A service calls `require_confirmation` after its permission checks and before its first write. Where the rule applies,
it raises `ConfirmationRequired`; the entry point rolls back and stores the change as a change set. Publishing a change
set calls its operation with a context that names the change set.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.utils.module_loading import import_string

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.authority_models import ChangeSet
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.independence import require_known_owner

NOT_REPLAYED: Final = "There is no replay of this change."

type Operation = Callable[[Mapping[str, Any], ActingContext], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedChange:
    """A change before it is confirmed. `arguments`, `before` and `after` are JSON.

    `parties` are ids of people besides the proposer who may not publish it, for example the authors of a draft.
    `also_store` writes what the operation needs besides its arguments, in the unit of work that stores the change set.
    """

    rule: str
    operation: str
    title: str
    arguments: Mapping[str, Any]
    before: Any = None
    after: Any = None
    parties: frozenset[uuid.UUID] = field(default_factory=frozenset)
    also_store: Callable[[ChangeSet], None] | None = field(default=None, compare=False, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of rule, operation, arguments and difference."""
        return canonical_sha256(
            {
                "rule": self.rule,
                "operation": self.operation,
                "arguments": self.arguments,
                "before": self.before,
                "after": self.after,
            }
        )


@dataclass(frozen=True, slots=True)
class RegisteredOperation:
    """Operation of change sets, and the scope that its publisher needs on the tenant besides that of the rule.

    `on_close` deletes what `also_store` of the change wrote.
    """

    carry_out: Operation
    scope: Scope | None
    on_close: Callable[[ChangeSet], None] | None = None


OPERATIONS: Final[dict[str, RegisteredOperation]] = {}
"""Operations by name. Importing the module of a service registers its operations."""


def operation(
    name: str, *, scope: Scope | None = None, on_close: Callable[[ChangeSet], None] | None = None
) -> Callable[[Operation], Operation]:
    """Register `(arguments, ctx)` as the operation `name` of change sets."""

    def register(carry_out: Operation) -> Operation:
        OPERATIONS[name] = RegisteredOperation(carry_out, scope, on_close)
        return carry_out

    return register


def known_operation(name: str) -> RegisteredOperation | None:
    """Return a registered operation. Return None if this version does not know it, as after a rollback.

    Commands and workers load only the services that they use. The views use all of them.
    """
    if name not in OPERATIONS:
        import_module(settings.ROOT_URLCONF)
    return OPERATIONS.get(name)


def operation_named(name: str) -> RegisteredOperation:
    """Return a registered operation. Raise `ChangeSetStale` if this version does not know it."""
    found = known_operation(name)
    if found is None:
        raise errors.ChangeSetStale(
            f"This version of Threada does not know the change {name}. The change set waits for a version that knows "
            "it. Its proposer can withdraw it."
        )
    return found


def store_proposal(refusal: errors.ConfirmationRequired, *, ctx: ActingContext) -> ChangeSet:
    """Store the change of a refusal as a change set, in a unit of work after the rollback."""
    propose = import_string(settings.THREADA_CHANGE_SET_HANDLER)
    stored: ChangeSet = propose(refusal.change, ctx=ctx)
    return stored


def require_confirmation(change: ProposedChange, *, ctx: ActingContext, always: bool = False) -> None:
    """Raise `ConfirmationRequired` if the change needs a second person and is not being published by one.

    Raise `ChangeSetStale` if it is being published, but differs from the change that was confirmed.

    `always`: it needs one whether or not the tenant turned the rule on. The operator is exempt from
    `identity_four_eyes`. Raise `OwnerRequired` for an agent or a service without a known owner: it neither makes such a
    change at once nor proposes it.
    """
    if ctx.collected_changes is not None:
        ctx.collected_changes.append((change, is_confirmation_needed(change.rule, ctx=ctx, always=always)))
    elif ctx.change_set_id is not None:
        _check_is_confirmed(change, ctx=ctx)
    elif ctx.always_propose or is_confirmation_needed(change.rule, ctx=ctx, always=always):
        raise errors.ConfirmationRequired.of(change)
    else:
        require_known_owner(ctx)


def require_policy_confirmation(
    operation: str,
    title: str,
    *,
    arguments: Mapping[str, Any],
    before: Any,
    after: Any,
    ctx: ActingContext,
    parties: frozenset[uuid.UUID] = frozenset(),
    replay: Any = NOT_REPLAYED,
    also_store: Callable[[ChangeSet], None] | None = None,
) -> None:
    """Raise `ConfirmationRequired` if `policy_four_eyes` holds for a change of the rules in force.

    `before` and `after` are the states, null for none. `replay` is the result of a replay of the change.
    """
    change = ProposedChange(
        rule=POLICY_FOUR_EYES,
        operation=operation,
        title=title,
        arguments=arguments,
        before={"state": before},
        after={"state": after, "replay": replay},
        parties=parties,
        also_store=also_store,
    )
    require_confirmation(change, ctx=ctx)


def proposer_of(ctx: ActingContext) -> uuid.UUID | None:
    """Return the proposer of the change set that `ctx` publishes; None for the operator or without a change set."""
    if ctx.change_set_id is None:
        return None
    rows = ChangeSet.objects.filter(tenant_id=ctx.tenant_id, id=ctx.change_set_id)
    return rows.values_list("proposed_by", flat=True).first()


def _check_is_confirmed(change: ProposedChange, *, ctx: ActingContext) -> None:
    """Raise `ChangeSetStale` if the base of the change set that is being published changed in the meantime."""
    confirmed: ProposedChange | None = ctx.confirmed_change
    if confirmed is not None and confirmed.operation == change.operation and confirmed.digest != change.digest:
        raise errors.ChangeSetStale


def is_confirmation_needed(rule: str, *, ctx: ActingContext, always: bool = False) -> bool:
    """Return True if a change under `rule` by `ctx` needs a second person."""
    if rule == IDENTITY_FOUR_EYES and ctx.is_system:
        return False
    return always or is_four_eyes_required(ctx.tenant_id, rule)
