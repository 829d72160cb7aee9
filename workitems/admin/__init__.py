"""Console pages of cases: queue, decision desk, executions, freezes, packs, retention."""

from workitems.admin.agents.page import AgentAdmin
from workitems.admin.delegations import DelegationAdmin
from workitems.admin.executions import ExecutionAdmin
from workitems.admin.freezes import FreezeAdmin
from workitems.admin.identity_providers import IdentityProviderAdmin
from workitems.admin.items import WorkItemAdmin
from workitems.admin.messages import NoticeMessageAdmin
from workitems.admin.packs import PackAdmin
from workitems.admin.permits.pages import PermitAdmin
from workitems.admin.proofs.pages import ProofRunAdmin
from workitems.admin.retention.pages import LegalHoldAdmin, RetentionRunAdmin
from workitems.admin.retention.tenant_deletion import TenantDeletionAdmin
from workitems.admin.steps import DecisionStepAdmin

__all__ = [
    "AgentAdmin",
    "DecisionStepAdmin",
    "DelegationAdmin",
    "ExecutionAdmin",
    "FreezeAdmin",
    "IdentityProviderAdmin",
    "LegalHoldAdmin",
    "NoticeMessageAdmin",
    "PackAdmin",
    "PermitAdmin",
    "ProofRunAdmin",
    "RetentionRunAdmin",
    "TenantDeletionAdmin",
    "WorkItemAdmin",
]
