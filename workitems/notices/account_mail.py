"""Mails about accounts: invitations, links to reset a password, and acts on a person's account.

Preferences do not control them. A link's token is made here and stored nowhere.
"""

from __future__ import annotations

import uuid
from typing import Final

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.account_links import note_mail_failure, take_token_for_mail
from threada_site.kernel.context import ActingContext
from threada_site.kernel.keyring import Undecryptable
from threada_site.tenancy.account_link_models import AccountLink, LinkPurpose
from threada_site.tenancy.models import Tenant, User
from workitems.notices.chat import send_chat
from workitems.notices.mail import mail_is_set_up, send_mail
from workitems.notices.preferences import chat_address_of, wishes_of, zone_of
from workitems.notices.rendering import link as console_link
from workitems.notices.rules import SendFailure, Wishes
from workitems.notices.words import time_in_zone

_SUBJECTS: Final = {
    "credential_issued": gettext_noop("A token was issued in your name"),
    "role_granted": gettext_noop("You have received a role"),
    "delegation_received": gettext_noop("You are named as a delegate"),
    "delegation_proposed": gettext_noop("A delegation asks for your consent"),
    "delegation_confirmed": gettext_noop("Your delegation was confirmed by a second person"),
    "sign_in_linked": gettext_noop("An account at an identity provider signs you in"),
    "sign_in_unlinked": gettext_noop("An account at an identity provider does not sign you in any more"),
    "external_id_changed": gettext_noop("Another account at the identity provider is to sign you in"),
    "factor_enrolled": gettext_noop("A second factor was enrolled for your account"),
    "factor_removed": gettext_noop("A second factor of your account was removed"),
    "factors_reset": gettext_noop("The second factors of your account were reset"),
    "passkey_cloned": gettext_noop("A passkey of yours may have been copied"),
    "recovery_codes_created": gettext_noop("New recovery codes were created for your account"),
    "recovery_code_used": gettext_noop("A recovery code of your account was used"),
    "policy_emergency": gettext_noop("Emergency publication of a policy"),
    "membership_ended": gettext_noop("You are no longer a member"),
    "member_left": gettext_noop("A member has left"),
    "steps_stuck": gettext_noop("Nobody can decide"),
    "address_change_asked": gettext_noop("A new mail address for your account"),
}
_SENTENCES: Final = {
    "credential_issued": gettext_noop("{by} issued the token {what!r} in your name."),
    "role_granted": gettext_noop("{by} gave you the role {what}."),
    "delegation_received": gettext_noop("{by} named you as the delegate of {what}."),
    "delegation_proposed": gettext_noop(
        "{by} proposed {what} as your delegate. Open Out of office to consent or to end it."
    ),
    "delegation_confirmed": gettext_noop(
        "{by} confirmed {what} as your delegate. You can end this under Out of office."
    ),
    "sign_in_linked": gettext_noop("{by} linked an account at {what}, which now signs in as you."),
    "sign_in_unlinked": gettext_noop("{by} unlinked the account at {what}. It does not sign in as you any more."),
    "external_id_changed": gettext_noop(
        "{by} gave you another external id, so another account at the identity provider would sign in as you. It does "
        "once a tenant administrator confirms it. If you do not expect this, tell one."
    ),
    "factor_enrolled": gettext_noop(
        "{by} enrolled the second factor {what!r}. If this was not you, tell a tenant administrator."
    ),
    "factor_removed": gettext_noop(
        "{by} removed the second factor {what!r}. If this was not you, tell a tenant administrator."
    ),
    "factors_reset": gettext_noop("{by} removed all second factors and recovery codes of your account."),
    "passkey_cloned": gettext_noop(
        "A copy of your passkey {what!r} was used, and refused. Remove it and register a new one."
    ),
    "recovery_codes_created": gettext_noop("{by} created new recovery codes. The earlier ones are not valid any more."),
    "recovery_code_used": gettext_noop(
        "{by} signed in with a recovery code. If this was not you, change your password."
    ),
    "policy_emergency": gettext_noop("{by} publishes the policy {what} alone, in an emergency."),
    "membership_ended": gettext_noop("{what} Sessions, tokens and delegations of yours in this tenant have ended."),
    "member_left": "{what}",
    "address_change_asked": gettext_noop(
        "A new mail address was entered for your account. It is used once a link that "
        "was mailed "
        "there is opened. If this was not you, change your password: somebody knows it."
    ),
    "steps_stuck": gettext_noop(
        "No member can complete {what} any more. Assign the required role, escalate the "
        "steps, or cancel "
        "their work items."
    ),
}
_LINKS: Final = {
    LinkPurpose.INVITATION: (gettext_noop("Invitation to {tenant}"), "admin:invitation"),
    LinkPurpose.RESET: (gettext_noop("Reset of your password"), "admin:password_reset_link"),
    LinkPurpose.ADDRESS: (gettext_noop("Confirm your new mail address"), "admin:mail_address_link"),
}
"""Purpose of a link → subject of its mail, and name of its page."""
_TOKENS: Final = (gettext_noop("Your tokens"), "admin:tenancy_personaltoken_changelist")
_DELEGATIONS: Final = (gettext_noop("Out of office"), "admin:workitems_delegation_changelist")
_SIGN_IN: Final = (gettext_noop("Sign-in methods"), "admin:sign_in_methods")
_FACTORS: Final = (gettext_noop("Second factors"), "admin:second_factors")
_PAGES: Final = {
    "sign_in_linked": _SIGN_IN,
    "sign_in_unlinked": _SIGN_IN,
    "external_id_changed": _SIGN_IN,
    "factor_enrolled": _FACTORS,
    "factor_removed": _FACTORS,
    "factors_reset": _FACTORS,
    "passkey_cloned": _FACTORS,
    "recovery_codes_created": _FACTORS,
    "recovery_code_used": _FACTORS,
    "delegation_received": _DELEGATIONS,
    "delegation_proposed": _DELEGATIONS,
    "delegation_confirmed": _DELEGATIONS,
    "policy_emergency": (gettext_noop("Policies"), "admin:policies_policy_changelist"),
    "membership_ended": (gettext_noop("Sign-in"), "admin:index"),
    "member_left": (gettext_noop("Members"), "admin:tenancy_membership_changelist"),
    "address_change_asked": (gettext_noop("Change password"), "admin:password_change"),
    "steps_stuck": (gettext_noop("Work items"), "admin:workitems_workitem_changelist"),
}
"""Kind of a notice → title and name of the page that it links to; others link to the person's tokens."""

log = structlog.get_logger("threada.notices")


def mail_link(link_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Mail an open link with a new token. Opens its own units of work.

    Raise `SendFailure` if another attempt is useful. A mail that may have arrived is not sent again.
    """
    with unit_of_work(ctx.tenant_id):
        taken = take_token_for_mail(link_id, ctx=ctx)
        zone = zone_of(taken[0].user, tenant_id=ctx.tenant_id) if taken else ""
    if taken is None:
        return
    link, token = taken
    failure: SendFailure | None = None
    try:
        send_mail(_mail_of_link(link, token, zone=zone, ctx=ctx), before=lambda: None)
    except SendFailure as said:
        failure = said
        log.warning("account_link_not_sent", link=link.public_id, reason=said.failure, detail=said.detail)
    with unit_of_work(ctx.tenant_id):
        note_mail_failure(link, failure.detail if failure else "")
    if failure is not None and not failure.is_final and not failure.is_ambiguous:
        raise failure


def tell_previous_address(link_id: uuid.UUID, *, ctx: ActingContext) -> None:
    """Tell the previous address of a person that it was replaced. Opens its own units of work.

    Raise `SendFailure` if another attempt is useful. The address is not stored after that.
    """
    with unit_of_work(ctx.tenant_id):
        links = AccountLink.objects.select_related("user").filter(tenant_id=ctx.tenant_id, id=link_id)
        link = links.exclude(previous_address="").first()
    if link is None or not mail_is_set_up():
        return
    context = {"name": link.user.username, "tenant": ctx.tenant_slug}
    with translation.override(link.user.language or settings.LANGUAGE_CODE):
        text = render_to_string("notices/previous_address.txt", context)
        subject = f"[{ctx.tenant_slug}] {_('Your mail address was changed')}"
    mail = EmailMultiAlternatives(subject, text, settings.DEFAULT_FROM_EMAIL, [link.previous_address])
    try:
        send_mail(mail, before=lambda: None)
    except SendFailure as said:
        log.warning("previous_address_not_told", link=link.public_id, reason=said.failure, detail=said.detail)
        if not said.is_final and not said.is_ambiguous:
            raise
    with unit_of_work(ctx.tenant_id):
        AccountLink.objects.filter(tenant_id=ctx.tenant_id, id=link_id).update(previous_address="")


def send_personal_notice(person_id: uuid.UUID, kind: str, *, what: str, by: str, ctx: ActingContext) -> None:
    """Send a notice to the address of the account, to the address for messages, and to the chat of a person.

    Raise `SendFailure` if another attempt is useful.
    """
    with unit_of_work(ctx.tenant_id):
        person = User.objects.filter(id=person_id, is_active=True).first()
        if person is None:
            return
        wishes = wishes_of([person_id], tenant_id=ctx.tenant_id).get(person_id, Wishes())
        try:
            chat = chat_address_of(person_id, tenant_id=ctx.tenant_id)
        except Undecryptable:
            chat = None
    page, address = _PAGES.get(kind, _TOKENS)
    with translation.override(person.language or settings.LANGUAGE_CODE):
        subject = f"[{ctx.tenant_slug}] {_(_SUBJECTS[kind])}"
        context = {
            "name": person.display_name or person.username,
            "sentence": _(_SENTENCES[kind]).format(what=what, by=by),
            "tenant": ctx.tenant_slug,
            "page": _(page),
            "url": console_link(address),
        }
        text = render_to_string("notices/personal.txt", context)
    addresses = {person.email, wishes.mail_address} - {""} if mail_is_set_up() else set()
    failures = []
    for address in sorted(addresses):
        mail = EmailMultiAlternatives(subject, text, settings.DEFAULT_FROM_EMAIL, [address])
        try:
            send_mail(mail, before=lambda: None)
        except SendFailure as said:
            failures.append(said)
    if chat is not None:
        try:
            send_chat(context["sentence"], title=subject, service=chat[0], address=chat[1], before=lambda: None)
        except SendFailure as said:
            failures.append(said)
    for failure in failures:
        log.warning("personal_notice_not_sent", kind=kind, reason=failure.failure, detail=failure.detail)
        if not failure.is_final and not failure.is_ambiguous:
            raise failure


def _mail_of_link(link: AccountLink, token: str, *, zone: str, ctx: ActingContext) -> EmailMultiAlternatives:
    subject, page = _LINKS[LinkPurpose(link.purpose)]
    tenant = Tenant.objects.get(id=ctx.tenant_id)
    inviter = User.objects.filter(id=link.created_by).first() if link.created_by else None
    context = {
        "name": link.user.username,  # an account of another tenant: its display name is not ours to tell
        "username": link.user.username,
        "tenant": tenant.name,
        "inviter": inviter,
        "purpose": link.purpose,
        "url": console_link(page, token),
    }
    with translation.override(link.user.language or settings.LANGUAGE_CODE):
        context["until"] = time_in_zone(link.expires_at, zone)
        subject = _(subject).format(tenant=tenant.name)
        text = render_to_string("notices/account_link.txt", context)
    return EmailMultiAlternatives(f"[{tenant.slug}] {subject}", text, settings.DEFAULT_FROM_EMAIL, [link.address])
