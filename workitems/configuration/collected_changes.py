"""Changes of several documents, which a second person confirms together as one change set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from threada_site.kernel.context import ActingContext
from threada_site.tenancy.change_sets import (
    NOT_REPLAYED,
    ProposedChange,
    is_confirmation_needed,
    require_confirmation,
)
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES


class CollectedChanges:
    """Changes that services describe while they are carried out with `ctx`."""

    def __init__(self, ctx: ActingContext) -> None:
        self._acting = ctx
        self._found: list[tuple[ProposedChange, bool]] = []
        self.ctx = replace(ctx, collected_changes=self._found)

    def confirm(
        self,
        operation: str,
        title: str,
        *,
        arguments: Mapping[str, Any],
        plan: list[dict[str, str]],
        is_rule_change: bool = False,
    ) -> None:
        """Raise `ConfirmationRequired` for all changes together if one of them needs a second person.

        The unit of work is rolled back then. `is_rule_change`: `policy_four_eyes` covers the plan even if no service
        described a change.
        """
        changes = [change for change, _ in self._found]
        is_rule_change = is_rule_change or any(change.rule == POLICY_FOUR_EYES for change in changes)
        if not changes and not is_rule_change:
            return
        rule = POLICY_FOUR_EYES if is_rule_change else changes[0].rule
        is_needed = any(is_needed for _, is_needed in self._found) or (
            is_rule_change and is_confirmation_needed(POLICY_FOUR_EYES, ctx=self._acting)
        )
        if not (is_needed or self._acting.always_propose or self._acting.change_set_id):
            return
        require_confirmation(
            ProposedChange(
                rule=rule,
                operation=operation,
                title=title,
                arguments=arguments,
                before={"states": [change.before for change in changes]},
                after={"plan": plan, "states": [change.after for change in changes], "replay": NOT_REPLAYED},
                parties=frozenset().union(*(change.parties for change in changes)),
            ),
            ctx=self._acting,
            always=is_needed,
        )
