"""Changes to people and their rights: those that an independent steward must confirm (`identity_four_eyes`), and those
that only a person writes, after a step-up."""

from __future__ import annotations

from typing import Any

from threada_site.kernel import clock, errors
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
    `is_rule_change`: rules use it, so `policy_four_eyes` covers it too, also for the operator. Changes by services and
    agents always need one, whatever the rules say.
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
        always=ctx.is_machine,
    )


def require_stepped_up_person(noun: str, *, ctx: ActingContext) -> None:
    """Raise `PersonRequired` to a service or an agent, and `StepUpRequired` without a recent re-authentication.

    For everything by which others authenticate: trusted issuers, identity providers, provisioning clients. A token
    never re-authenticates, so people write these in the console. The operator's commands may.
    """
    if ctx.is_system:
        return
    if not ctx.is_person:
        raise errors.PersonRequired(f"Only a person can write {noun}, in the console.")
    if not ctx.recently_reauthenticated(clock.now()):
        raise errors.StepUpRequired(
            f"{noun[:1].upper()}{noun[1:]} is written in the console, after a step-up at most five minutes old."
        )
