"""Changes to people and their rights that an independent steward must confirm (`identity_four_eyes`)."""

from __future__ import annotations

from typing import Any

from threada_site.kernel.context import ActingContext
from threada_site.tenancy.change_sets import ProposedChange, require_confirmation
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES, POLICY_FOUR_EYES, is_four_eyes_required


def require_second_steward(
    operation: str,
    title: str,
    arguments: dict[str, Any],
    *,
    before: Any,
    after: Any,
    ctx: ActingContext,
    is_rule_change: bool = False,
) -> None:
    """Raise `ConfirmationRequired` if another steward must confirm this change.

    `operation` is the name in `change_operations` without its prefix. `before` and `after` show what it grants.
    `is_rule_change`: rules use it, so `policy_four_eyes` covers it too, also for the operator.
    """
    is_policy_change = is_rule_change and is_four_eyes_required(ctx.tenant_id, POLICY_FOUR_EYES)
    require_confirmation(
        ProposedChange(
            rule=POLICY_FOUR_EYES if is_policy_change else IDENTITY_FOUR_EYES,
            operation=f"identity.{operation}",
            title=title,
            arguments=arguments,
            before=before,
            after=after,
        ),
        ctx=ctx,
    )
