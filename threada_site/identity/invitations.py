"""Invitations: a person joins a tenant by a one-time link and sets the own password."""

from __future__ import annotations

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.account_links import close_link, create_link, link_of_token, mail_is_set_up, withdraw_links
from threada_site.identity.confirmation import require_second_steward
from threada_site.identity.dependence import record_dependence
from threada_site.identity.known_as import known_as
from threada_site.identity.passwords import check_password_rules
from threada_site.identity.selectors import is_member_somewhere
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.change_sets import proposer_of
from threada_site.tenancy.models import Membership, User


def invite(person: User, address: str, *, ctx: ActingContext) -> AccountLink:
    """Create the invitation of a new member. The caller has added the membership and recorded the dependence.

    Raise `InvalidRequest` without an address if the instance has a mail server.
    """
    if mail_is_set_up() and not address:
        raise errors.InvalidRequest(
            "The invitation is mailed. Enter the mail address of the person.",
            errors=[FieldError("/email", "is missing", "required")],
        )
    return create_link(person, LinkPurpose.INVITATION, address=address, ctx=ctx)


def invite_again(person: User, address: str, *, ctx: ActingContext) -> AccountLink:
    """Replace an invitation that was not accepted. The account then depends on this steward too.

    Receipt `invitation.withdrawn` for the previous one. Raise `Conflict` if the person has accepted,
    `ConfirmationRequired` where a second steward must confirm who gets the link, and as `invite`.
    """
    _unaccepted(person, ctx=ctx)
    links = AccountLink.objects.filter(tenant_id=ctx.tenant_id, user=person, purpose=LinkPurpose.INVITATION)
    last = links.order_by("-id").first()
    goes_to = address if mail_is_set_up() else ""
    maker = None if ctx.is_system or ctx.always_propose or ctx.change_set_id else ctx.principal_id
    if last is None or last.address != goes_to or not (goes_to or (maker and last.created_by == maker)):
        require_second_steward(
            "invite_again",
            f"Invite {person.username} again",
            {"principal": known_as(person, tenant_id=ctx.tenant_id), "email": address},
            before={person.username: _receiver(last.address) if last else None},
            after={person.username: _receiver(goes_to)},
            ctx=ctx,
        )
    proposer = proposer_of(ctx)
    if proposer is not None:
        record_dependence(person, DependenceReason.INVITED, on=proposer, ctx=ctx)
    record_dependence(person, DependenceReason.INVITED, ctx=ctx)
    return invite(person, address, ctx=ctx)


def _receiver(address: str) -> str:
    return f"a new link, mailed to {address}" if address else "a new link, shown once to the steward who makes it"


def withdraw_invitation(person: User, *, ctx: ActingContext) -> None:
    """Withdraw an invitation; its link is invalid at once. The membership stays, and cannot be used.

    Receipt `invitation.withdrawn`. Raise `Conflict` if the person has accepted.
    """
    _unaccepted(person, ctx=ctx)
    withdraw_links(person, LinkPurpose.INVITATION, ctx=ctx)


def accept_invitation(token: str, *, password: str = "", ctx: ActingContext) -> Membership:
    """Accept an invitation as its person. Receipt `invitation.accepted`.

    A person with a new account sets its password; everybody else must be signed in (`needs_sign_in`). Raise `NotFound`
    for a link that is not valid, `PermissionDenied` if another person is signed in or nobody is, `InvalidRequest` for a
    weak password.
    """
    require_unit_of_work(ctx.tenant_id)
    link = link_of_token(token, tenant_id=ctx.tenant_id, for_update=True)
    if link.purpose != LinkPurpose.INVITATION:
        raise errors.NotFound("This link is not an invitation.")
    person = User.objects.select_for_update().get(id=link.user_id)
    if ctx.principal_id != person.id:
        raise errors.PermissionDenied(f"This invitation is for {person.username}.")
    if needs_sign_in(person):
        if ctx.authentication.method is not AuthenticationMethod.SESSION:
            raise errors.PermissionDenied("This account exists. Sign in to accept the invitation.")
    else:
        check_password_rules(person, password)
        person.set_password(password)
        person.save(update_fields=["password"])
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=person).first()
    if membership is None or membership.accepted_at is not None:
        raise errors.NotFound("This invitation is not valid any more.")
    membership.accepted_at = clock.now()
    membership.save(update_fields=["accepted_at"])
    link.user = person
    close_link(link, ctx=ctx)
    inputs = {"link": link.public_id, "principal": person.public_id}
    outcome = {"delivery": "mail" if link.is_mailed else "shown"}
    record(Entry(kind="invitation.accepted", inputs=inputs, outcome=outcome), ctx=ctx)
    return membership


def needs_sign_in(person: User) -> bool:
    """Return True if only the person, signed in, can accept an invitation.

    Otherwise a steward of one tenant could set the password of somebody who has none and is a member of another tenant,
    or becomes one again when a provisioning client says so.
    """
    return person.has_usable_password() or is_member_somewhere(person)


def _unaccepted(person: User, *, ctx: ActingContext) -> Membership:
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    membership = Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=person).first()
    if membership is None:
        raise errors.NotFound("There is no such person in this tenant.")
    if membership.accepted_at is not None:
        raise errors.Conflict(f"{person.username} has accepted the invitation.")
    return membership
