"""The actions on tenants, principals, roles and credentials. Each leaves a receipt; its body holds ids alone.

The console, the commands and the tests call these; there is no second path. Tables without a tenant column (principals,
groups, their permissions) are not under row-level security: each service keeps to `ctx.tenant_id` by itself.
"""

from threada_site.identity.services.credentials import (
    IssuedCredential,
    issue_credential,
    revoke_credential,
    rotate_credential,
)
from threada_site.identity.services.forgetting import forget_account
from threada_site.identity.services.four_eyes import end_four_eyes, require_four_eyes
from threada_site.identity.services.groups import define_group, remove_group
from threada_site.identity.services.owners import set_owner
from threada_site.identity.services.principals import (
    add_member,
    ensure_principal,
    remove_member,
    set_password,
    set_time_zone,
)
from threada_site.identity.services.roles import define_role, grant_role, grant_scope_on, remove_role, withdraw_role
from threada_site.identity.services.tenants import create_tenant, founding_context

__all__ = [
    "IssuedCredential",
    "add_member",
    "create_tenant",
    "define_group",
    "define_role",
    "end_four_eyes",
    "ensure_principal",
    "forget_account",
    "founding_context",
    "grant_role",
    "grant_scope_on",
    "issue_credential",
    "remove_group",
    "remove_member",
    "remove_role",
    "require_four_eyes",
    "revoke_credential",
    "rotate_credential",
    "set_owner",
    "set_password",
    "set_time_zone",
    "withdraw_role",
]
