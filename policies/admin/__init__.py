"""Console pages of the rulebook."""

from policies.admin.configuration import ChannelAdmin, ListAdmin, WorkflowAdmin
from policies.admin.decisions import PolicyDecisionAdmin
from policies.admin.overlays import OverlayAdmin
from policies.admin.policies import PolicyAdmin
from policies.admin.replays import PolicyReplayAdmin
from policies.admin.shadows import PolicyShadowAdmin
from policies.admin.versions import PolicyVersionAdmin

__all__ = [
    "ChannelAdmin",
    "ListAdmin",
    "OverlayAdmin",
    "PolicyAdmin",
    "PolicyDecisionAdmin",
    "PolicyReplayAdmin",
    "PolicyShadowAdmin",
    "PolicyVersionAdmin",
    "WorkflowAdmin",
]
