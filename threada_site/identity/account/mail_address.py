"""Change of the own mail address: asked for with a fresh proof, confirmed by a link that goes to the new address.

Until then the previous address stays in use. It is told of the request and of the change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.account.provider_limits import require_account_change
from threada_site.identity.account_links import create_link, link_of_token, mail_is_set_up, withdraw_links
from threada_site.identity.personal_notices import notify_person
from threada_site.jobs.enqueue import NOTICE_QUEUE, enqueue
from threada_site.kernel import clock, errors
from threada_site.kernel.context import ActingContext, AuthenticationMethod
from threada_site.kernel.errors import FieldError
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import Membership, User

TELL_PREVIOUS_ADDRESS: Final = "workitems.tell_previous_address"
"""Name of the task that tells the previous address of a change; its argument is `link_id`."""
MOST_A_DAY: Final = 5
"""Links that one person sends to new addresses in a day, so that nobody sends mail to strangers through Threada."""
_IN_SESSION: Final = frozenset({AuthenticationMethod.SESSION, AuthenticationMethod.IDENTITY_PROVIDER})


def ask_for_address(address: str, *, ctx: ActingContext) -> AccountLink:
    """Send a link to a new mail address of the acting person, and tell the previous one.

    Receipt `principal.address_asked`. Raise `PermissionDenied` for a token and by `require_account_change`,
    `StepUpRequired` without a step-up within five minutes, `Conflict` without a mail server or after five links in a
    day, `InvalidRequest` for an invalid address or the present one.
    """
    require_unit_of_work(ctx.tenant_id)
    person = _person_in_session(ctx)
    if not ctx.recently_reauthenticated(clock.now()):
        raise errors.StepUpRequired("A new mail address needs a fresh proof that it is you. Nothing was changed.")
    if not mail_is_set_up():
        raise errors.Conflict("This instance cannot send mail. Ask the operator of the instance.")
    if not address or (address == person.email and person.email_confirmed_at is not None):
        raise errors.InvalidRequest(
            "Enter another mail address.", errors=[FieldError("/address", "is the present address", "invalid")]
        )
    Membership.objects.select_for_update().get(tenant_id=ctx.tenant_id, user=person)
    recent = AccountLink.objects.filter(
        tenant_id=ctx.tenant_id,
        user=person,
        purpose=LinkPurpose.ADDRESS,
        created_at__gt=clock.now() - timedelta(days=1),
    )
    if recent.count() >= MOST_A_DAY:
        raise errors.Conflict(f"You have sent {MOST_A_DAY} links within a day. Try again tomorrow.")
    link = create_link(person, LinkPurpose.ADDRESS, address=address, ctx=ctx)
    _record("principal.address_asked", link, ctx=ctx)
    if person.email:
        notify_person(person.id, "address_change_asked", "", ctx=ctx)
    return link


def confirm_address(token: str, *, ctx: ActingContext) -> None:
    """Take the address of a link as that of the acting person, who is signed in. Sessions and tokens stay.

    Links that were mailed to the previous address are not valid any more. Receipt `principal.address_changed`. Raise
    `NotFound` for a link that is not valid, `PermissionDenied` for a token or another person.
    """
    require_unit_of_work(ctx.tenant_id)
    person = _person_in_session(ctx)
    link = link_of_token(token, tenant_id=ctx.tenant_id, for_update=True)
    if link.purpose != LinkPurpose.ADDRESS:
        raise errors.NotFound("This link does not confirm a mail address.")
    if link.user_id != person.id:
        raise errors.PermissionDenied(f"This link is for {link.user.username}.")
    person = User.objects.select_for_update().get(id=person.id)
    previous = person.email
    link.used_at = clock.now()
    link.previous_address = previous if previous != link.address else ""
    link.save(update_fields=["used_at", "previous_address"])
    person.email, person.email_confirmed_at = link.address, link.used_at
    person.save(update_fields=["email", "email_confirmed_at"])
    withdraw_links(person, LinkPurpose.RESET, ctx=ctx)
    _record("principal.address_changed", link, ctx=ctx)
    if link.previous_address:
        enqueue(TELL_PREVIOUS_ADDRESS, tenant_id=ctx.tenant_id, queue=NOTICE_QUEUE, link_id=str(link.id))


def record_address_change(person: User, *, ctx: ActingContext) -> None:
    """Write the receipt `principal.address_changed` in another tenant of the person."""
    record(Entry(kind="principal.address_changed", inputs={"principal": person.public_id}), ctx=ctx)


def _person_in_session(ctx: ActingContext) -> User:
    if not ctx.is_person or ctx.authentication.method not in _IN_SESSION:
        raise errors.PermissionDenied("People change their mail address in their own console session.")
    require_account_change(ctx)
    return User.objects.get(id=ctx.principal_id)


def _record(kind: str, link: AccountLink, *, ctx: ActingContext) -> None:
    record(Entry(kind=kind, inputs={"link": link.public_id, "principal": link.user.public_id}), ctx=ctx)
