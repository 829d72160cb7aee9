"""Changes that need a second person: the check in services, and the operations that change sets carry out.

A service calls `require_confirmation` after its permission checks and before its first write. Where the rule applies,
it raises `ConfirmationRequired`; the entry point rolls back and stores the change as a change set. Publishing a change
set calls its operation with a context that names the change set.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from threada_site.kernel import errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, is_four_eyes_required

type Operation = Callable[[Mapping[str, Any], ActingContext], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedChange:
    """A change before it is confirmed. `arguments`, `before` and `after` are JSON.

    `parties` are ids of people besides the proposer who may not publish it, for example the authors of a draft.
    """

    rule: str
    operation: str
    title: str
    arguments: Mapping[str, Any]
    before: Any = None
    after: Any = None
    parties: frozenset[uuid.UUID] = field(default_factory=frozenset)

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


_operations: Final[dict[str, Operation]] = {}


def operation(name: str) -> Callable[[Operation], Operation]:
    """Register `(arguments, ctx)` as the operation `name` of change sets."""

    def register(carry_out: Operation) -> Operation:
        _operations[name] = carry_out
        return carry_out

    return register


def operation_named(name: str) -> Operation:
    """Return a registered operation. Raise `KeyError` for an unknown name."""
    return _operations[name]


def require_confirmation(change: ProposedChange, *, ctx: ActingContext, always: bool = False) -> None:
    """Raise `ConfirmationRequired` if the change needs a second person and is not being published by one.

    `always`: it needs one whether or not the tenant turned the rule on. The operator is exempt from
    `identity_four_eyes`.
    """
    if ctx.change_set_id is not None:
        return
    if not ctx.always_propose:
        if change.rule == IDENTITY_FOUR_EYES and ctx.is_system:
            return
        if not always and not is_four_eyes_required(ctx.tenant_id, change.rule):
            return
    raise errors.ConfirmationRequired.of(change)
