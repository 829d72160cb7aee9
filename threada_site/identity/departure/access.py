"""End of everything through which a principal can act in a tenant, while the membership stays.

A departure (`end.py`) ends the same and the membership.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils.module_loading import import_string

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.account_links import withdraw_link
from threada_site.identity.change_sets.publish import close_unpublished
from threada_site.identity.confirmation import require_stepped_up_person
from threada_site.identity.console_sessions.ending import end_sessions_in
from threada_site.identity.known_as import known_as
from threada_site.identity.selectors import belongs_elsewhere
from threada_site.identity.stewardship import require_steward
from threada_site.identity.trusted_issuers.mappings import end_mappings
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext
from threada_site.kernel.factors import Factor
from threada_site.tenancy.account_link_models import AccountLink
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.models import Credential, IdentityLink, Membership, User

type Ended = Mapping[str, tuple[str, ...]]
"""Noun → public ids, or names, of what ended. Empty lists are left out."""

NOT_ENDED: Final = ("issued_by_the_principal", "of_the_account")
"""Nouns of what is listed and stays: tokens of others that the principal saw, and what other tenants use too."""
_LEFT: Final = "The proposer is no longer a member of the tenant."
_ENDED: Final = "Everything through which the proposer can act was ended."


def end_access(principal: User, *, ctx: ActingContext) -> Ended:
    """End every way in which a member can act in the tenant: tokens, mappings of trusted issuers, sessions, and so on.

    Takes effect at once and needs no second steward, because it only takes power away. Roles and groups stay. Password
    and passkeys of a person who is a member of another tenant too are ended by the operator only; they are listed under
    `of_the_account`. Of somebody who is only invited, nothing of the account ends. Receipt `principal.access_ended`
    with everything that ended. Raise `PermissionDenied`, `PersonRequired`, `StepUpRequired`, `NotFound` for a stranger,
    `Conflict` for oneself.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    require_stepped_up_person("the end of somebody's access", ctx=ctx)
    if principal.id == ctx.principal_id:
        raise errors.Conflict("You cannot end your own access. Another steward or the operator does.")
    work = import_string(settings.THREADA_DEPARTURE_HANDLER)(principal.id, ctx=ctx)
    if not Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=principal).exists():
        raise errors.NotFound("There is no such member in this tenant.")
    named = known_as(principal, tenant_id=ctx.tenant_id)
    is_invited = named != principal.public_id
    ends_account = ctx.is_system or not belongs_elsewhere(principal, tenant_id=ctx.tenant_id)
    ended = {
        "revoked": revoke_credentials(principal, ctx=ctx),
        "mappings": end_mappings(principal.username, ctx=ctx),
        "identity_links": end_identity_links(principal, ctx=ctx),
        "account_links": withdraw_account_links(principal, ctx=ctx),
        **({} if is_invited else _end_sign_in(principal, ends_account=ends_account, ctx=ctx)),
        **work,
        "change_sets": close_change_sets(principal, why=_ENDED, ctx=ctx),
        "issued_by_the_principal": issued_for_others(principal, ctx=ctx),
    }
    found = {noun: tuple(names) for noun, names in ended.items() if names}
    outcome = {"revoked": [], **{noun: list(names) for noun, names in found.items()}}
    entry = Entry(kind="principal.access_ended", inputs={"principal": named}, outcome=outcome, accounts=(principal.id,))
    record(entry, ctx=ctx)
    return found


def ways_to_act(principal: User, *, ctx: ActingContext) -> Ended:
    """Return what `end_access` would end now, by a call that is rolled back."""
    with transaction.atomic():
        found = end_access(User.objects.get(id=principal.id), ctx=ctx)
        transaction.set_rollback(True)
    return found


def _end_sign_in(principal: User, *, ends_account: bool, ctx: ActingContext) -> dict[str, tuple[str, ...]]:
    account = _end_account(principal) if ends_account else {"of_the_account": _ways_of_account(principal)}
    sessions = end_sessions_in(principal, is_everywhere=ends_account, ctx=ctx)  # last: see `open_session`
    return {"sessions": sessions, **account}


def _ways_of_account(principal: User) -> tuple[str, ...]:
    """Return the ways to sign in that belong to the account: its password, and the ids of its passkeys."""
    passkeys = principal.enrolled_factors.filter(kind=Factor.PASSKEY.value).order_by("id")
    password = ("password",) if principal.has_usable_password() else ()
    return (*password, *(factor.public_id for factor in passkeys))


def _end_account(principal: User) -> dict[str, tuple[str, ...]]:
    """End password and passkeys. Other second factors stay: they sign nobody in."""
    ways = _ways_of_account(principal)
    principal.enrolled_factors.filter(kind=Factor.PASSKEY.value).delete()
    if "password" in ways:
        principal.set_unusable_password()
        principal.save(update_fields=["password"])
    passkeys = tuple(way for way in ways if way != "password")
    return {"passwords": ways[: len(ways) - len(passkeys)], "passkeys": passkeys}


def revoke_credentials(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """Revoke all tokens of the principal in the tenant, exchanged ones too."""
    live = Credential.objects.filter(tenant_id=ctx.tenant_id, user=principal, revoked_at=None)
    revoked = tuple(credential.public_id for credential in live.select_for_update().order_by("id"))
    live.update(revoked_at=clock.now())
    return revoked


def issued_for_others(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """Return the live credentials of services and agents whose tokens the person has seen, so no exchanged ones."""
    issued = Credential.objects.filter(
        tenant_id=ctx.tenant_id, issued_by=principal.id, revoked_at=None, trusted_issuer_version_id=None
    )
    live = issued.filter(Q(expires_at=None) | Q(expires_at__gt=clock.now())).exclude(user=principal)
    return tuple(credential.public_id for credential in live.order_by("id"))


def withdraw_account_links(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """Withdraw the links to the account, and those to other accounts that the person made and may know."""
    unused = AccountLink.objects.filter(tenant_id=ctx.tenant_id, used_at=None, withdrawn_at=None)
    found = unused.filter(Q(user=principal) | Q(created_by=principal.id)).select_related("user")
    withdrawn = list(found.select_for_update(of=("self",)).order_by("id"))
    for link in withdrawn:
        withdraw_link(link, ctx=ctx)
    return tuple(link.public_id for link in withdrawn)


def close_change_sets(principal: User, *, why: str = _LEFT, ctx: ActingContext) -> tuple[str, ...]:
    """Close the open change sets that the person proposed, but not the one that is being published."""
    rows = ChangeSet.objects.filter(tenant_id=ctx.tenant_id, proposed_by=principal.id, status=ChangeSetStatus.PROPOSED)
    if ctx.change_set_id is not None:
        rows = rows.exclude(id=ctx.change_set_id)
    found = list(rows.select_for_update().order_by("id"))
    for change_set in found:
        close_unpublished(change_set, why, ctx=ctx)
    return tuple(change_set.public_id for change_set in found)


def end_identity_links(principal: User, *, ctx: ActingContext) -> tuple[str, ...]:
    """End the links to accounts at identity providers. The rows stay."""
    links = IdentityLink.objects.filter(tenant_id=ctx.tenant_id, user=principal, ended_at=None)
    ended = tuple(link.public_id for link in links.select_for_update().order_by("id"))
    links.update(ended_at=clock.now())
    return ended
