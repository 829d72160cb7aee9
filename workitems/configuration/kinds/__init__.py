"""All kinds of documents in the order of application: a kind follows the kinds that it refers to.

Documents are removed in the opposite order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from threada_site.kernel.context import ActingContext
from workitems.configuration.kinds.base import Applied, Kind, Stored, Written
from workitems.configuration.kinds.grants import GRANT
from workitems.configuration.kinds.identity_providers import IDENTITY_PROVIDER
from workitems.configuration.kinds.packs import PACK
from workitems.configuration.kinds.retention import RETENTION
from workitems.configuration.kinds.roles_and_groups import GROUP, ROLE
from workitems.configuration.kinds.rulebook import CALENDAR, CHANNEL, LIST, OVERLAY, POLICY, WORKFLOW
from workitems.configuration.kinds.systems import INTEGRATION
from workitems.configuration.kinds.trusted_issuers import TRUSTED_ISSUER

__all__ = ["KINDS", "Applied", "Kind", "Stored", "Written", "in_force"]

KINDS: Final[dict[str, Kind]] = {
    "Role": ROLE,
    "Group": GROUP,
    "IdentityProvider": IDENTITY_PROVIDER,
    "TrustedIssuer": TRUSTED_ISSUER,
    "Pack": PACK,
    "Channel": CHANNEL,
    "Calendar": CALENDAR,
    "List": LIST,
    "Workflow": WORKFLOW,
    "Integration": INTEGRATION,
    "Grant": GRANT,
    "Policy": POLICY,
    "Overlay": OVERLAY,
    "Retention": RETENTION,
}


def in_force(ctx: ActingContext) -> Iterator[tuple[str, Stored]]:
    """Yield everything in force with its kind, in the order of application."""
    return ((kind, stored) for kind, what in KINDS.items() for stored in what.export(ctx))
