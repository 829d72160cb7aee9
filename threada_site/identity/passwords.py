"""Passwords: set by their owners, with the current one or with a one-time link. Nobody sets another person's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Q

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.account_links import close_link, create_link, link_of_token, mail_is_set_up
from threada_site.identity.dependence import record_resetters
from threada_site.identity.selectors import belongs_elsewhere
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors, ids
from threada_site.kernel.context import ActingContext, AuthenticationMethod, PrincipalKind
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.change_sets import ProposedChange, operation, require_confirmation
from threada_site.tenancy.credentials.deciding import require_person
from threada_site.tenancy.four_eyes import IDENTITY_FOUR_EYES
from threada_site.tenancy.models import Membership, User

RESET_OPERATION: Final = "principal.password_reset"
_PAUSE: Final = timedelta(minutes=5)
"""Time in which one person gets at most one mailed reset link."""
_MOST_ACCOUNTS: Final = 5


def set_password(person: User, password: str, *, current: str = "", ctx: ActingContext) -> None:
    """Set the own password, with the current one, or any person's as the operator. Receipt `principal.password_set`.

    All other sessions of the person end. Raise `PermissionDenied` for another person's password and for a token,
    `InvalidRequest` if the principal is not a person, the current password is wrong, or the new one is too weak.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_system:
        if ctx.principal_id != person.id or ctx.authentication.method is not AuthenticationMethod.SESSION:
            raise errors.PermissionDenied("Passwords are set by their owners, in their own session.")
        if not person.check_password(current):
            raise errors.InvalidRequest(
                "The current password is wrong.", errors=[FieldError("/current", "is wrong", "invalid")]
            )
    if person.kind != PrincipalKind.HUMAN:
        raise errors.InvalidRequest(
            "Services and agents hold credentials, not passwords.", errors=[FieldError("/principal", "is not a person")]
        )
    check_password_rules(person, password)
    person.set_password(password)
    person.save(update_fields=["password"])
    record(Entry(kind="principal.password_set", inputs={"principal": person.public_id}), ctx=ctx)


def check_password_rules(person: User, password: str) -> None:
    """Raise `InvalidRequest` if the password is too weak."""
    try:
        validate_password(password, person)
    except ValidationError as refusal:
        raise errors.InvalidRequest(
            " ".join(refusal.messages), errors=[FieldError("/password", message) for message in refusal.messages]
        ) from None


def start_reset(person: User, *, ctx: ActingContext) -> AccountLink:
    """Create a reset link for a person without a confirmed address, as the operator or as the second of two stewards.

    The first steward's call raises `ConfirmationRequired`; the steward who publishes the change set creates the link
    and sees it once. The account then depends on both. Raise `PermissionDenied`, `PersonRequired`, and `Conflict` if
    the person must reset it by mail, has not accepted the invitation, or belongs to another tenant too.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    if not ctx.is_system:
        require_person("Only people can reset a password.", ctx=ctx)
    _check_resettable(person, ctx=ctx)
    change = ProposedChange(
        rule=IDENTITY_FOUR_EYES,
        operation=RESET_OPERATION,
        title=f"Reset the password of {person.username}",
        arguments={"principal": person.public_id},
        before={"password": "set by the person"},
        after={"password": "reset link, shown once to the publisher"},
        parties=frozenset({person.id}),
    )
    require_confirmation(change, ctx=ctx, always=True)
    record_resetters(person, ctx=ctx)
    return create_link(person, LinkPurpose.RESET, ctx=ctx)


@operation(RESET_OPERATION)
def reset_of_change_set(arguments: Mapping[str, Any], ctx: ActingContext) -> None:
    """Create the reset link that a change set asks for."""
    person_id = ids.parse_public_id(ids.PRINCIPAL, arguments["principal"])
    person = User.objects.filter(id=person_id).first() if person_id else None
    if person is None:
        raise errors.NotFound("There is no such person in this tenant.")
    start_reset(person, ctx=ctx)


def people_to_reset(text: str) -> list[User]:
    """Return the active people with this name or confirmed mail address; none without a mail server.

    Needs no unit of work.
    """
    if not text or not mail_is_set_up():
        return []
    people = User.objects.filter(kind=PrincipalKind.HUMAN.value, is_active=True, email_confirmed_at__isnull=False)
    return list(people.exclude(email="").filter(Q(username=text) | Q(email__iexact=text))[:_MOST_ACCOUNTS])


def mail_reset(person: User, *, ctx: ActingContext) -> None:
    """Mail a reset link to the confirmed address of a person, unless one was mailed within five minutes."""
    require_unit_of_work(ctx.tenant_id)
    Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=person).first()
    recent = AccountLink.objects.filter(
        tenant_id=ctx.tenant_id, user=person, purpose=LinkPurpose.RESET, created_at__gt=clock.now() - _PAUSE
    )
    if person.email_confirmed_at is not None and not recent.exists():
        create_link(person, LinkPurpose.RESET, address=person.email, ctx=ctx)


def reset_password(token: str, password: str, *, ctx: ActingContext) -> None:
    """Set a password by a reset link. All sessions of the person end. Receipt `principal.password_reset`.

    Raise `NotFound` for a link that is not valid, `InvalidRequest` for a weak password.
    """
    require_unit_of_work(ctx.tenant_id)
    link = link_of_token(token, tenant_id=ctx.tenant_id, for_update=True)
    if link.purpose != LinkPurpose.RESET or link.user_id != ctx.principal_id:
        raise errors.NotFound("This link does not reset a password.")
    if link.is_mailed and link.address != link.user.email:
        raise errors.NotFound("This link was mailed to an address that is no longer yours. Ask for another one.")
    check_password_rules(link.user, password)
    link.user.set_password(password)
    link.user.save(update_fields=["password"])
    close_link(link, ctx=ctx)
    record_reset(link.user, ctx=ctx)


def record_reset(person: User, *, ctx: ActingContext) -> None:
    """Write the receipt `principal.password_reset` in the tenant of `ctx`."""
    record(Entry(kind="principal.password_reset", inputs={"principal": person.public_id}), ctx=ctx)


def _check_resettable(person: User, *, ctx: ActingContext) -> None:
    members = Membership.objects.filter(tenant_id=ctx.tenant_id, user=person, accepted_at__isnull=False)
    if person.kind != PrincipalKind.HUMAN or not members.exists():
        raise errors.Conflict("Only a person who has accepted the invitation has a password to reset.")
    if ctx.is_system:
        return
    if belongs_elsewhere(person, tenant_id=ctx.tenant_id):
        raise errors.Conflict(f"{person.username} belongs to another tenant too. Ask the instance's operator.")
    if person.email_confirmed_at is not None and mail_is_set_up():
        raise errors.Conflict(f"{person.username} has a confirmed mail address and resets the password by mail.")
