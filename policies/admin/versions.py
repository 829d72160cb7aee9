"""Console pages of policy versions: document, publication, emergency publication and retirement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies import selectors
from policies.admin.consequences import END_EMERGENCY, PUBLISH, RETIRE
from policies.admin.editor import DraftForm
from policies.admin.overlays import new_overlay_url
from policies.admin.trying import TryingPages
from policies.configuration.texts import document_text
from policies.documents.policy import parse_policy
from policies.drafts.edit import edit_draft
from policies.drafts.validation import validate_policy
from policies.language.durations import parse_duration
from policies.language.lifted_exclusions import lifted_exclusions
from policies.lifecycle import EmergencyStatus
from policies.locks import locked_policy_of, locked_version
from policies.models import EmergencyPublication, PolicyVersion
from policies.publication.attached import attached_to
from policies.publication.emergencies import confirm_emergency, end_emergency
from policies.publication.publish import publish_policy_version, retire_policy_version
from policies.publication.rules import MAX_REASON, MIN_REASON, Emergency, check_has_report
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, action
from threada_site.admin.documents import one_document, with_lines
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.reauthentication import proof_asked, reauthenticate
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import FieldError, ThreadaError
from threada_site.tenancy.four_eyes import POLICY_FOUR_EYES, is_four_eyes_required
from threada_site.tenancy.models import User

TIME_BOXES: Final = (("PT1H", "1 hour"), ("PT4H", "4 hours"), ("PT12H", "12 hours"), ("P1D", "24 hours"))

_UNCONFIRMED: Final = (EmergencyStatus.ANNOUNCED, EmergencyStatus.OPEN)


@admin.register(PolicyVersion)
class PolicyVersionAdmin(TryingPages, TenantAdmin):
    id_prefix = ids.POLICY_VERSION
    key = "-id"
    columns = (
        Column(gettext_lazy("Version"), str),
        Column(gettext_lazy("Status"), lambda version: html.badge(version.status)),
        Column(gettext_lazy("Made"), lambda version: html.when(version.created_at)),
        Column(gettext_lazy("Published"), lambda version: html.when(version.published_at) or html.NOTHING),
        Column(gettext_lazy("SHA-256"), lambda version: html.code(version.document_sha256[:16])),
    )
    page_template = "policies/version.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return PolicyVersion.objects.filter(tenant_id=ctx.tenant_id).select_related("policy")

    def page(self, row: PolicyVersion, *, ctx: ActingContext) -> dict[str, Any]:
        rows = EmergencyPublication.objects.filter(tenant_id=ctx.tenant_id, version=row)
        emergency = rows.order_by("-id").first()
        announced = (emergency.published_by, emergency.closed_by) if emergency else ()
        known = (row.created_by, row.published_by, row.retired_by, *row.written_by, *announced)
        people = {person for person in known if person}
        names: dict[Any, str] = {user.id: str(user) for user in User.objects.filter(id__in=people)}
        is_draft = row.status == "draft"
        may_publish = ctx.allows(Scope.POLICIES_PUBLISH)
        return {
            "list_title": _("policy {slug}").format(slug=row.policy.slug),
            "list_url": html.page_url("policies.policy", row.policy.slug),
            "document": document_text(row),
            "in_force": row.policy.in_force_id == row.id,
            "created_by": names.get(row.created_by, _("the instance")),
            "published_by": names.get(row.published_by, _("the instance")),
            "retired_by": names.get(row.retired_by, _("the instance")),
            "writers": ", ".join(names[writer] for writer in row.written_by if writer in names),
            "emergency": emergency,
            "announced_by": names.get(emergency.published_by, _("the instance")) if emergency else "",
            "is_announced": emergency is not None and emergency.status == EmergencyStatus.ANNOUNCED,
            "closed_by": names.get(emergency.closed_by, _("the instance")) if emergency else "",
            "may_settle": emergency is not None and emergency.status in _UNCONFIRMED and may_publish,
            "is_own": emergency is not None and emergency.published_by == ctx.principal_id,
            "may_publish": is_draft and may_publish,
            **(_publication(row, ctx=ctx) if is_draft and may_publish else {}),
            "may_retire": row.status == "published" and may_publish,
            "may_check": ctx.allows(Scope.POLICIES_WRITE),
            "unbound_url": _unbound_url(row, ctx=ctx),
            "forms": self._forms(ctx, of_row=True, key=row.public_id) if is_draft else [],
        }

    @form_page(
        gettext_lazy("Edit the draft"),
        form=DraftForm,
        scope=Scope.POLICIES_WRITE,
        of_row=True,
        submit=gettext_lazy("Save draft"),
    )
    def edit(self, call: Call, form: ConsoleForm) -> Done:
        document = one_document(form.cleaned_data["document"])
        draft = locked_version(form.row, ctx=call.ctx)
        if form.cleaned_data["read_sha256"] not in ("", draft.document_sha256):
            raise errors.PreconditionFailed(
                "The draft was changed by another user. Copy your text and edit the draft again."
            )
        with with_lines(document):
            edit_draft(draft, document.value, ctx=replace(call.ctx, source=document.written))
        return Done(_("Draft saved."))

    @action(Scope.POLICIES_WRITE)
    def validate(self, call: Call) -> Done:
        """Dry-run the publication checks on this draft."""
        version = self._version(call)
        found = validate_policy(version.document, policy=version.policy, ctx=call.ctx)
        found.check()
        reached = ", ".join(found.workflows) or _("no workflow yet")
        warned = _in_words(found.warnings)
        return Done(
            _("Valid. Conditions match the payload schemas ({reached}), and the tests pass.").format(reached=reached)
            + warned
        )

    @action(Scope.POLICIES_PUBLISH, confirm=PUBLISH)
    def publish(self, call: Call) -> Done:
        """Publish exactly the draft that was shown."""
        draft = self._draft_shown(call)
        applies_to_open = call.sent("applies_to_open") == "on"
        published = publish_policy_version(draft, ctx=call.ctx, applies_to_open=applies_to_open)
        return Done(_("Version {number} is in force.").format(number=draft.number) + _in_words(published.warnings))

    @action(Scope.POLICIES_PUBLISH)
    def publish_in_emergency(self, call: Call) -> Done:
        """Announce the publication of exactly the draft that was shown, as one person, with a time box."""
        call.ctx = reauthenticate(call.request, call.ctx)
        draft = self._draft_shown(call)
        lasts = call.sent("lasts")
        if lasts not in dict(TIME_BOXES):
            raise errors.InvalidRequest("Choose a time box.")
        emergency = Emergency(call.sent("reason"), parse_duration(lasts))
        applies_to_open = call.sent("applies_to_open") == "on"
        published = publish_policy_version(draft, ctx=call.ctx, applies_to_open=applies_to_open, emergency=emergency)
        return Done(
            _(
                "All stewards are notified. Version {number} comes into force after the notice, for "
                "{period}, or permanently once confirmed."
            ).format(number=draft.number, period=dict(TIME_BOXES)[lasts])
            + _in_words(published.warnings)
        )

    @action(Scope.POLICIES_PUBLISH)
    def confirm_emergency(self, call: Call) -> Done:
        """Confirm an emergency publication as a second person."""
        confirmed = confirm_emergency(self._emergency(call), ctx=call.ctx)
        return Done(_("Version {number} is confirmed and stays in force.").format(number=confirmed.version.number))

    @action(Scope.POLICIES_PUBLISH, confirm=END_EMERGENCY)
    def end_emergency(self, call: Call) -> Done:
        """End an emergency publication before its time box."""
        ended = end_emergency(self._emergency(call), ctx=call.ctx)
        if ended.status == EmergencyStatus.WITHDRAWN:
            return Done(
                _("The emergency publication of version {number} is withdrawn.").format(number=ended.version.number)
            )
        return Done(
            _("Version {number} is retired; the previous version is in force again.").format(
                number=ended.version.number
            )
        )

    @action(Scope.POLICIES_PUBLISH, confirm=RETIRE)
    def retire(self, call: Call) -> Done:
        version = self._version(call)
        retire_policy_version(version, ctx=call.ctx)
        return Done(_("Version {number} is retired. Its open steps are re-evaluated.").format(number=version.number))

    def _draft_shown(self, call: Call) -> PolicyVersion:
        version = self._version(call)
        locked_policy_of(version, ctx=call.ctx)
        draft = locked_version(version, ctx=call.ctx)
        if call.sent("document_sha256") != draft.document_sha256:
            raise errors.PreconditionFailed(
                "The draft has changed since you opened the page. Read it again, then publish it."
            )
        return draft

    def _emergency(self, call: Call) -> EmergencyPublication:
        version = self._version(call)
        rows = EmergencyPublication.objects.filter(tenant_id=call.ctx.tenant_id, version=version)
        found = rows.order_by("-id").first()
        if found is None:
            raise errors.TransitionNotAllowed(f"Version {version.number} was not published in an emergency.")
        return found

    def _version(self, call: Call) -> PolicyVersion:
        parsed = ids.parse_public_id(ids.POLICY_VERSION, call.key)
        version: PolicyVersion | None = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if version is None:
            raise errors.NotFound
        call.subject = Subject(policy_version_id=version.id, status=version.status)
        return version


def _in_words(warnings: Sequence[FieldError]) -> str:
    """Return the first warnings as sentences, each after a space."""
    return "".join(f" {warning.detail}" for warning in warnings[:5])


def _publication(draft: PolicyVersion, *, ctx: ActingContext) -> dict[str, Any]:
    """Return the template context of publication: four eyes, replay report, and why `ctx` may not publish."""
    four_eyes = is_four_eyes_required(ctx.tenant_id, POLICY_FOUR_EYES)
    attached = attached_to(draft, ctx=ctx)
    why_not = ""
    try:
        warnings = lifted_exclusions(parse_policy(draft.document))
    except ThreadaError:
        warnings = []  # publication reports the errors
    try:
        check_has_report(attached, four_eyes=four_eyes)
    except ThreadaError as refusal:
        why_not = refusal.detail
    return {
        "four_eyes": four_eyes,
        "report": attached.report,
        "why_not": why_not,
        "warnings": warnings,
        "time_boxes": TIME_BOXES,
        "shortest_reason": MIN_REASON,
        "longest_reason": MAX_REASON,
        "asks_proof": proof_asked(ctx),
        "notice_s": settings.THREADA_EMERGENCY_NOTICE_SECONDS,
    }


def _unbound_url(row: PolicyVersion, *, ctx: ActingContext) -> str:
    """Return the URL of the form that binds a policy in force which no overlay binds, else ""."""
    if row.policy.in_force_id != row.id or selectors.overlays(ctx).filter(policy=row.policy).exists():
        return ""
    return new_overlay_url(ctx, policy=row.policy.slug)
