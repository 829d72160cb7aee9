"""Changes to people and their rights that an independent steward must confirm (`identity_four_eyes`)."""

from __future__ import annotations

from typing import Any

from threada_site.kernel.context import ActingContext
from threada_site.tenancy.change_sets import ProposedChange, require_confirmation
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES


def require_second_steward(
    operation: str, title: str, arguments: dict[str, Any], *, before: Any, after: Any, ctx: ActingContext
) -> None:
    """Raise `ConfirmationRequired` if another steward must confirm this change.

    `operation` is the name in `change_operations` without its prefix. `before` and `after` show what it grants.
    """
    require_confirmation(
        ProposedChange(
            rule=IDENTITY_FOUR_EYES,
            operation=f"identity.{operation}",
            title=title,
            arguments=arguments,
            before=before,
            after=after,
        ),
        ctx=ctx,
    )
