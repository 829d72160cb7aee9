"""Steps of a new tenant: sign-in, people, first workflow, mail, backup, four eyes. Each is read from the real state.

What only the operator of the instance knows is `unknown`; a step never counts as done because somebody says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from policies.models import Workflow
from threada_site.admin.html import list_url
from threada_site.identity import selectors
from threada_site.identity.account_links import mail_is_set_up
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import LastBackup, Membership, Tenant

OLD_BACKUP_DAYS = 2


class State(StrEnum):
    """State of a step."""

    DONE = "done"
    OPEN = "open"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is, what is the case, and where to do it. `url` is "" for a step of the operator."""

    title: str
    state: State
    detail: str
    url: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """The checklist. `done` and `known` count the steps that are done, and those whose state is known."""

    steps: tuple[Step, ...]

    @property
    def done(self) -> int:
        return sum(step.state is State.DONE for step in self.steps)

    @property
    def known(self) -> int:
        return sum(step.state is not State.UNKNOWN for step in self.steps)


def first_steps(ctx: ActingContext) -> FirstSteps | None:
    """Return the checklist of a steward; None for everybody else, and once a steward has hidden it.

    Runs at most six statements.
    """
    if not is_steward(ctx) or are_hidden(ctx):
        return None
    return FirstSteps((_sign_in(ctx), _people(ctx), _workflow(ctx), _mail(), _backup(), _four_eyes(ctx)))


def are_hidden(ctx: ActingContext) -> bool:
    return Tenant.objects.filter(id=ctx.tenant_id, first_steps_hidden_at__isnull=False).exists()


def _sign_in(ctx: ActingContext) -> Step:
    names = [provider.slug for provider in selectors.identity_providers(ctx.tenant_id)[:3]]
    detail = (
        _("People sign in by %(names)s.") % {"names": ", ".join(names)}
        if names
        else _("People sign in with passwords. Connect an identity provider to sign in with company accounts.")
    )
    return Step(_("Sign-in"), _state(names), detail, list_url("tenancy.identityprovider"), _("Open identity providers"))


def _people(ctx: ActingContext) -> Step:
    rows = Membership.objects.filter(tenant_id=ctx.tenant_id, user__kind="human", user__is_active=True)
    count = rows.filter(accepted_at__isnull=False).count()
    detail = ngettext(
        "%(count)s person has joined. Nobody approves what they requested: invite a second person.",
        "%(count)s people have joined.",
        count,
    ) % {"count": count}
    return Step(_("People"), _state(count > 1), detail, list_url("tenancy.membership"), _("Open members"))


def _workflow(ctx: ActingContext) -> Step:
    count = Workflow.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False).count()
    detail = (
        ngettext("%(count)s workflow is in force.", "%(count)s workflows are in force.", count) % {"count": count}
        if count
        else _("There is no workflow yet. The gallery has packs that work at once.")
    )
    return Step(
        _("First workflow"), _state(count), detail, reverse("admin:policies_pack_gallery"), _("Open the gallery")
    )


def _mail() -> Step:
    if mail_is_set_up():
        detail = _("A mail server is configured. Whether it delivers is shown at the messages.")
        return Step(_("Mail"), State.DONE, detail, list_url("workitems.noticemessage"), _("Open messages"))
    detail = _("No mail server is configured, so nobody is notified by mail. The operator sets THREADA_SMTP_URL.")
    return Step(_("Mail"), State.OPEN, detail)


def _backup() -> Step:
    backup = LastBackup.objects.first()
    if backup is None:
        detail = _("Threada has made no backup. Ask the operator whether backups are made by other means.")
        return Step(_("Backup"), State.UNKNOWN, detail)
    days = (clock.now() - backup.made_at).days
    detail = ngettext(
        "The newest backup is up to %(count)s day old. Ask the operator when one was last restored as a test.",
        "The newest backup is up to %(count)s days old. Ask the operator when one was last restored as a test.",
        days + 1,
    ) % {"count": days + 1}
    return Step(_("Backup"), _state(days < OLD_BACKUP_DAYS), detail)


def _four_eyes(ctx: ActingContext) -> Step:
    is_required = is_four_eyes_required(ctx.tenant_id, POLICY_FOUR_EYES)
    detail = (
        _("A second person publishes changes of the rules in force.")
        if is_required
        else _("One person alone can change the rules in force. Require a second person.")
    )
    return Step(
        _("Four eyes"), _state(is_required), detail, list_url("tenancy.foureyesrule"), _("Open four-eyes rules")
    )


def _state(is_done: object) -> State:
    return State.DONE if is_done else State.OPEN
