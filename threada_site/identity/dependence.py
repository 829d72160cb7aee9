"""Dependence of accounts on the people who created, invited, reset or credentialed them, and its end."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.known_as import known_as
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, PrincipalKind
from threada_site.tenancy.authority_models import AccountDependence, ChangeSet, DependenceReason
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.independence import are_independent, read_controllers
from threada_site.tenancy.models import Credential, Membership, ProvisionedPerson, User

BY_STEWARD = "steward"
BY_OPERATOR = "operator"


def record_dependence(
    account: User, reason: DependenceReason, *, ctx: ActingContext, on: uuid.UUID | None = None
) -> None:
    """Record that `account` depends on the acting principal, or on the principal `on`. Receipt `account.dependent`.

    Nothing happens if the operator acts, if somebody acts on the own account, or if the dependence exists. Only a
    `LINKED` one is recorded besides others on the same principal, because it can keep accounts from signing in.
    """
    require_unit_of_work(ctx.tenant_id)
    controller = on or (None if ctx.is_system else ctx.principal_id)
    if controller is None or controller == account.id:
        return
    known = AccountDependence.objects.filter(
        tenant_id=ctx.tenant_id, user=account, depends_on_id=controller, ended_at=None
    )
    if (known.filter(reason=reason) if reason is DependenceReason.LINKED else known).exists():
        return
    AccountDependence.objects.create(
        tenant_id=ctx.tenant_id, user=account, depends_on_id=controller, reason=reason.value
    )
    inputs = {
        "principal": known_as(account, tenant_id=ctx.tenant_id),
        "depends_on": ids.public_id(ids.PRINCIPAL, controller),
        "reason": reason.value,
    }
    record(Entry(kind="account.dependent", inputs=inputs, accounts=(account.id,)), ctx=ctx)


def record_resetters(person: User, *, ctx: ActingContext) -> None:
    """Record that `person` depends on both stewards of the change set that resets a password or the second factors.

    Nothing happens if the operator resets them, without a change set.
    """
    if ctx.change_set_id is None:
        return
    proposer = ChangeSet.objects.get(tenant_id=ctx.tenant_id, id=ctx.change_set_id).proposed_by
    record_dependence(person, DependenceReason.RESET, on=proposer, ctx=ctx)
    record_dependence(person, DependenceReason.RESET, ctx=ctx)


def confirm_account(person: User, *, external_id: str | None = None, ctx: ActingContext) -> None:
    """Confirm that `person` alone controls the account: end its dependences. Receipt `account.confirmed`.

    Of an agent or a service, confirm the owner: end its dependences on those who named one. The others last.

    Nothing happens if there is nothing to confirm. Raise `PermissionDenied` and `PersonRequired` unless a steward or
    the operator acts, `SecondPersonRequired` if the steward is not independent of the principal and of everybody who
    controls it, `Conflict` before the person has accepted the invitation, or if the person has another external id of a
    provisioning client than `external_id`, the one that was shown; `NotFound` for a stranger.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if not ctx.is_system:
        require_person("Only a person can confirm an account.", ctx=ctx)
    named = ProvisionedPerson.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=person).first()
    if external_id is not None and external_id != (named.external_id if named else ""):
        raise errors.Conflict("A provisioning client gave the person another external id. Open the page again.")
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=person).first()
    if membership is None:
        raise errors.NotFound("There is no such person in this tenant.")
    if membership.accepted_at is None:
        raise errors.Conflict("The invitation is not accepted yet. Confirm the account after that.")
    to_end = to_confirm(person, tenant_id=ctx.tenant_id)
    if not to_end:
        return
    if not ctx.is_system:
        controllers = read_controllers(ctx.tenant_id, [person.id, ctx.principal_id])
        if not are_independent(person.id, ctx.principal_id, controllers):
            raise errors.SecondPersonRequired(
                "You are not independent of this account or of somebody it depends on. Another steward or the "
                "instance's operator must confirm it."
            )
    end_dependences(person, to_end, ctx=ctx)


def end_dependences(person: User, ended: Sequence[AccountDependence], *, ctx: ActingContext) -> None:
    """End open dependences of an account. The caller checks the independence. Receipt `account.confirmed`.

    Personal tokens from the time of the dependence are revoked, since somebody else may have created and kept them.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ended:
        return
    by = BY_OPERATOR if ctx.is_system else BY_STEWARD
    AccountDependence.objects.filter(tenant_id=ctx.tenant_id, id__in=[row.id for row in ended]).update(
        ended_at=clock.now(), ended_by=None if ctx.is_system else ctx.principal_id, ended_how=by
    )
    depended_on = sorted({row.depends_on.public_id for row in ended})
    since = min(row.created_at for row in ended)
    kept = Credential.objects.filter(
        tenant_id=ctx.tenant_id, user=person, issued_by=person.id, revoked_at=None, created_at__gte=since
    )
    revoked = [credential.public_id for credential in kept.select_for_update().order_by("id")]
    kept.update(revoked_at=clock.now())
    inputs = {"principal": person.public_id, "depended_on": depended_on}
    record(Entry(kind="account.confirmed", inputs=inputs, outcome={"by": by, "revoked": revoked}), ctx=ctx)


def record_addition(person: User, *, ctx: ActingContext) -> None:
    """Record that `person` was invited: by the acting principal, or by the proposer of the published change set.

    The publisher of a change set is independent of its proposer, has seen the address, and confirms the account, unless
    the publisher controls it from before.
    """
    if ctx.change_set_id is None:
        record_dependence(person, DependenceReason.INVITED, ctx=ctx)
        return
    change_set = ChangeSet.objects.get(tenant_id=ctx.tenant_id, id=ctx.change_set_id)
    if change_set.proposed_by is not None:
        record_dependence(person, DependenceReason.INVITED, on=change_set.proposed_by, ctx=ctx)
        controllers = read_controllers(ctx.tenant_id, [person.id, ctx.principal_id])
        if are_independent(person.id, ctx.principal_id, controllers):
            end_dependences(person, open_dependences(person.id, tenant_id=ctx.tenant_id), ctx=ctx)


def to_confirm(principal: User, *, tenant_id: uuid.UUID) -> list[AccountDependence]:
    """Return the open dependences that a confirmation ends: of an agent or a service, those on who named its owner."""
    found = open_dependences(principal.id, tenant_id=tenant_id)
    if principal.kind == PrincipalKind.HUMAN:
        return found
    return [row for row in found if row.reason == DependenceReason.NAMED]


def open_dependences(account_id: uuid.UUID, *, tenant_id: uuid.UUID) -> list[AccountDependence]:
    """Return the dependences of an account that have not ended, oldest first, with the people they name."""
    rows = AccountDependence.objects.filter(tenant_id=tenant_id, user_id=account_id, ended_at=None)
    return list(rows.select_related("depends_on").order_by("id"))


def last_confirmation(account_id: uuid.UUID, *, tenant_id: uuid.UUID) -> AccountDependence | None:
    """Return the dependence of an account that ended last, or None."""
    rows = AccountDependence.objects.filter(tenant_id=tenant_id, user_id=account_id, ended_at__isnull=False)
    return rows.order_by("-ended_at").first()
