"""Operations of change sets under `identity_four_eyes`: each calls its service with the context of the publisher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from threada_site.identity.admission import add_principal
from threada_site.identity.credentials import confirm_credential
from threada_site.identity.grants.object_grants import object_named, set_object_scopes
from threada_site.identity.grants.role_grants import set_roles
from threada_site.identity.groups import define_group, remove_group
from threada_site.identity.invitations import invite_again
from threada_site.identity.owners import set_owner
from threada_site.identity.principals import remove_member
from threada_site.identity.providers.configure import upsert_provider, withdraw_provider
from threada_site.identity.providers.role_grants import grant_provider_role
from threada_site.identity.roles import define_role, remove_role, set_role_require_mfa, set_role_visibility
from threada_site.identity.selectors import member_with_id
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind, Scope, Visibility
from threada_site.tenancy.change_sets import operation
from threada_site.tenancy.models import Credential

type Arguments = Mapping[str, Any]


@operation("identity.define_role")
def _define_role(said: Arguments, ctx: ActingContext) -> None:
    visibility = Visibility(said["visibility"]) if "visibility" in said else None
    define_role(
        said["role"],
        frozenset(map(Scope, said["scopes"])),
        visibility=visibility,
        require_mfa=said.get("require_mfa", ...),
        ctx=ctx,
    )


@operation("identity.set_role_visibility")
def _set_role_visibility(said: Arguments, ctx: ActingContext) -> None:
    set_role_visibility(said["role"], Visibility(said["visibility"]), ctx=ctx)


@operation("identity.set_role_require_mfa")
def _set_role_require_mfa(said: Arguments, ctx: ActingContext) -> None:
    set_role_require_mfa(said["role"], said["require_mfa"], ctx=ctx)


@operation("identity.remove_role")
def _remove_role(said: Arguments, ctx: ActingContext) -> None:
    remove_role(said["role"], ctx=ctx)


@operation("identity.set_roles")
def _set_roles(said: Arguments, ctx: ActingContext) -> None:
    set_roles(member_with_id(said["principal"], tenant_id=ctx.tenant_id), said["roles"], ctx=ctx)


@operation("identity.define_group")
def _define_group(said: Arguments, ctx: ActingContext) -> None:
    define_group(said["group"], said["members"], name=said["name"], ctx=ctx)


@operation("identity.remove_group")
def _remove_group(said: Arguments, ctx: ActingContext) -> None:
    remove_group(said["group"], ctx=ctx)


@operation("identity.add_principal")
def _add_principal(said: Arguments, ctx: ActingContext) -> None:
    add_principal(
        said["name"],
        kind=PrincipalKind(said["kind"]),
        display_name=said["display_name"],
        email=said["email"],
        roles=said["roles"],
        owner=said["owner"],
        ctx=ctx,
    )


@operation("identity.invite_again")
def _invite_again(said: Arguments, ctx: ActingContext) -> None:
    invite_again(member_with_id(said["principal"], tenant_id=ctx.tenant_id), said["email"], ctx=ctx)


@operation("identity.remove_member")
def _remove_member(said: Arguments, ctx: ActingContext) -> None:
    remove_member(member_with_id(said["principal"], tenant_id=ctx.tenant_id), ctx=ctx)


@operation("identity.set_owner")
def _set_owner(said: Arguments, ctx: ActingContext) -> None:
    set_owner(member_with_id(said["principal"], tenant_id=ctx.tenant_id), said["owner"], ctx=ctx)


@operation("identity.set_object_scopes")
def _set_object_scopes(said: Arguments, ctx: ActingContext) -> None:
    principal = member_with_id(said["principal"], tenant_id=ctx.tenant_id)
    target = object_named(said["on"]["kind"], said["on"]["id"], ctx=ctx)
    set_object_scopes(principal, target, frozenset(map(Scope, said["scopes"])), ctx=ctx)


@operation("identity.put_identity_provider")
def _put_identity_provider(said: Arguments, ctx: ActingContext) -> None:
    upsert_provider(said["provider"], said["spec"], ctx=ctx)


@operation("identity.withdraw_identity_provider")
def _withdraw_identity_provider(said: Arguments, ctx: ActingContext) -> None:
    withdraw_provider(said["provider"], ctx=ctx)


@operation("identity.confirm_credential")
def _confirm_credential(said: Arguments, ctx: ActingContext) -> None:
    found = ids.parse_public_id(ids.CREDENTIAL, said["credential"])
    credential = Credential.objects.filter(tenant_id=ctx.tenant_id, id=found).first() if found else None
    if credential is None:
        raise errors.NotFound
    confirm_credential(credential, ctx=ctx)


@operation("identity.grant_provider_role")
def _grant_provider_role(said: Arguments, ctx: ActingContext) -> None:
    grant_provider_role(
        member_with_id(said["principal"], tenant_id=ctx.tenant_id), said["role"], said["provider"], ctx=ctx
    )
