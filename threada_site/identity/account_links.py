"""One-time links to accounts: invitations and password resets. A token is made when its link is mailed or shown."""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.mail import mailers
from django.core.validators import validate_email
from django.db import connection

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.dependence import record_dependence
from threada_site.identity.known_as import known_as
from threada_site.identity.stewardship import require_steward
from threada_site.jobs.enqueue import NOTICE_QUEUE, enqueue
from threada_site.kernel import clock, errors, tokens
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.account_link_models import LIFETIMES, AccountLink, LinkPurpose
from threada_site.tenancy.authority_models import DependenceReason
from threada_site.tenancy.models import Membership, User

MAIL_LINK: Final = "workitems.mail_account_link"
"""Name of the task that mails a link; its argument is `link_id`."""
_TOKEN_BYTES: Final = 32
_SENT: Final = {
    LinkPurpose.INVITATION: "invitation.sent",
    LinkPurpose.RESET: "password_reset.sent",
    LinkPurpose.ADDRESS: "principal.address_link_sent",
}
"""Purpose of a link → kind of the receipt with which its token is made."""
_REASONS: Final = {LinkPurpose.INVITATION: DependenceReason.INVITED, LinkPurpose.RESET: DependenceReason.RESET}


class LinkTenant(NamedTuple):
    """Tenant of a link."""

    tenant_id: UUID
    slug: str
    name: str


def tenant_of_link(token: str) -> LinkTenant | None:
    """Return the tenant of the link with this token, or None. Needs no unit of work."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, slug, name FROM threada_tenant_of_link(%s)", [tokens.digest(token)])
        row = cursor.fetchone()
    return LinkTenant(*row) if row else None


def link_of_token(token: str, *, tenant_id: UUID, for_update: bool = False) -> AccountLink:
    """Return the open link with this token and its person. Raise `NotFound` if it was used, withdrawn or expired."""
    rows = AccountLink.objects.filter(tenant_id=tenant_id, token_sha256=tokens.digest(token))
    link = (rows.select_for_update(of=("self",)) if for_update else rows).select_related("user").first()
    if link is None or not link.is_open or not link.user.is_active:
        raise errors.NotFound("This link is not valid any more. Ask for another one.")
    return link


def unused_link(person: User, purpose: LinkPurpose, *, tenant_id: UUID) -> AccountLink | None:
    """Return the link of a person that was neither used nor withdrawn, also after its expiry, or None."""
    rows = AccountLink.objects.filter(tenant_id=tenant_id, user=person, purpose=purpose)
    return rows.filter(used_at=None, withdrawn_at=None).first()


def mail_is_set_up() -> bool:
    """Return True if the instance has a mail server."""
    return "default" in mailers


def create_link(person: User, purpose: LinkPurpose, *, address: str = "", ctx: ActingContext) -> AccountLink:
    """Create a link and withdraw the previous one. With an address and a mail server it is mailed by a job.

    Raise `InvalidRequest` for an invalid address. The caller checks permissions.
    """
    require_unit_of_work(ctx.tenant_id)
    _check_address(address)
    Membership.objects.select_for_update().filter(tenant_id=ctx.tenant_id, user=person).first()
    withdraw_links(person, purpose, ctx=ctx)
    now = clock.now()
    link = AccountLink.objects.create(
        tenant_id=ctx.tenant_id,
        user=person,
        purpose=purpose,
        address=address if mail_is_set_up() else "",
        created_by=None if ctx.is_system else ctx.principal_id,
        created_at=now,
        expires_at=now + LIFETIMES[purpose],
    )
    if link.address:
        enqueue(MAIL_LINK, tenant_id=ctx.tenant_id, queue=NOTICE_QUEUE, link_id=str(link.id))
    return link


def show_link(link: AccountLink, *, ctx: ActingContext) -> str:
    """Return a new token of the link, to be shown once. The account then depends on the reader.

    Only the steward who created a link may see it; the operator may see those of the operator. Receipts
    `invitation.sent` or `password_reset.sent`, and `account.dependent`. Raise `PermissionDenied`, `NotFound`, and
    `Conflict` if the link is mailed.
    """
    require_unit_of_work(ctx.tenant_id)
    require_steward(ctx)
    locked = _locked(link, ctx=ctx)
    if locked.created_by != (None if ctx.is_system else ctx.principal_id):
        raise errors.PermissionDenied("Only the person who made the link can see it. Make another link.")
    if locked.address:
        raise errors.Conflict("The link is mailed to the person and not shown.")
    if locked.token_sha256 is not None:
        raise errors.Conflict("The link was shown before. Make another link.")
    record_dependence(locked.user, _REASONS[LinkPurpose(locked.purpose)], ctx=ctx)
    return _new_token(locked, is_mailed=False, ctx=ctx)


def take_token_for_mail(link_id: UUID, *, ctx: ActingContext) -> tuple[AccountLink, str] | None:
    """Return an open link that is to be mailed, with a new token; None if there is none any more. For the mail job.

    Each attempt makes another token, so that none is stored.
    """
    require_unit_of_work(ctx.tenant_id)
    rows = AccountLink.objects.select_for_update(of=("self",)).select_related("user")
    link = rows.filter(tenant_id=ctx.tenant_id, id=link_id).exclude(address="").first()
    if link is None or not link.is_open:
        return None
    return link, _new_token(link, is_mailed=True, ctx=ctx)


def note_mail_failure(link: AccountLink, detail: str) -> None:
    """Store why a link could not be mailed; empty after success."""
    AccountLink.objects.filter(tenant_id=link.tenant_id, id=link.id).update(mail_failure=detail[:500])


def withdraw_links(person: User, purpose: LinkPurpose, *, ctx: ActingContext) -> None:
    """Withdraw the unused links of a person. Receipt `invitation.withdrawn` for each invitation."""
    require_unit_of_work(ctx.tenant_id)
    unused = AccountLink.objects.filter(
        tenant_id=ctx.tenant_id, user=person, purpose=purpose, used_at=None, withdrawn_at=None
    )
    for link in unused.select_for_update():
        withdraw_link(link, ctx=ctx)


def withdraw_link(link: AccountLink, *, ctx: ActingContext) -> None:
    """Withdraw a locked, unused link. Receipt `invitation.withdrawn` for an invitation."""
    link.withdrawn_at = clock.now()
    link.save(update_fields=["withdrawn_at"])
    if link.purpose == LinkPurpose.INVITATION:
        record(_entry("invitation.withdrawn", link), ctx=ctx)


def close_link(link: AccountLink, *, ctx: ActingContext) -> None:
    """Mark a link as used; a mailed one confirms the person's address if it was mailed there."""
    require_unit_of_work(ctx.tenant_id)
    link.used_at = clock.now()
    link.save(update_fields=["used_at"])
    person = link.user
    if link.is_mailed and person.email_confirmed_at is None and link.address == person.email:
        person.email_confirmed_at = link.used_at
        person.save(update_fields=["email_confirmed_at"])


def _new_token(link: AccountLink, *, is_mailed: bool, ctx: ActingContext) -> str:
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    link.token_sha256, link.is_mailed = tokens.digest(token), is_mailed
    link.save(update_fields=["token_sha256", "is_mailed"])
    record(_entry(_SENT[LinkPurpose(link.purpose)], link, delivery="mail" if is_mailed else "shown"), ctx=ctx)
    return token


def _locked(link: AccountLink, *, ctx: ActingContext) -> AccountLink:
    rows = AccountLink.objects.select_for_update(of=("self",)).select_related("user")
    locked = rows.filter(tenant_id=ctx.tenant_id, id=link.id).first()
    if locked is None or not locked.is_open:
        raise errors.NotFound("This link is not valid any more. Make another one.")
    return locked


def _check_address(address: str) -> None:
    try:
        if address:
            validate_email(address)
    except ValidationError:
        raise errors.InvalidRequest(
            "The mail address is invalid.", errors=[FieldError("/email", "is not a mail address", "invalid")]
        ) from None


def _entry(kind: str, link: AccountLink, **outcome: str) -> Entry:
    named = known_as(link.user, tenant_id=link.tenant_id)
    inputs = {"link": link.public_id, "principal": named}
    return Entry(kind=kind, inputs=inputs, outcome=outcome, accounts=(link.user_id,))
