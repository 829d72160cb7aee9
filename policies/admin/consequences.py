"""Effects of publishing and removing rules, shown before the confirmation."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from policies import selectors
from policies.admin.workflow_builder import WorkflowBuilderForm
from policies.configuration.texts import document_text, workflow_text
from policies.documents.workflow import parse_workflow
from policies.models import Overlay, Policy, PolicyShadow, PolicyVersion
from threada_site.admin.actions import Call
from threada_site.admin.confirmation import Confirmation, Effects, FormConfirmation
from threada_site.admin.documents import one_document, with_lines
from threada_site.admin.text_diff import diff_rows
from threada_site.kernel.context import ActingContext

_SCOPES_NAMED: Final = 20


def _publishing(admin: Any, call: Call) -> Effects:
    draft: PolicyVersion = admin.find(call.key, ctx=call.ctx)
    policy = draft.policy
    replaced = policy.in_force
    sentences = [
        _("Version %(number)s of %(policy)s comes into force for the next decision.")
        % {"number": draft.number, "policy": policy.slug},
        _("It replaces version %(number)s.") % {"number": replaced.number}
        if replaced
        else _("No version is in force today, so the policy denies where it applies."),
        _where(policy, ctx=call.ctx),
    ]
    if call.sent("applies_to_open") == "on":
        sentences.append(_("Decisions that wait for people are evaluated again with this version."))
    before = document_text(replaced) if replaced else ""
    return Effects(sentences, diff_rows(before, document_text(draft)))


def _retiring(admin: Any, call: Call) -> Effects:
    version: PolicyVersion = admin.find(call.key, ctx=call.ctx)
    policy = version.policy
    if policy.in_force_id != version.id:
        return Effects([_("This version is not in force. It cannot come into force again.")])
    return Effects(
        [
            _("Version %(number)s of %(policy)s is in force. Without a version in force the policy denies.")
            % {"number": version.number, "policy": policy.slug},
            _where(policy, ctx=call.ctx),
            _("Decisions that wait for people are evaluated again."),
        ]
    )


def _ending(admin: Any, call: Call) -> Effects:
    version: PolicyVersion = admin.find(call.key, ctx=call.ctx)
    return Effects(
        [
            _("The emergency publication of version %(number)s of %(policy)s ends now.")
            % {"number": version.number, "policy": version.policy.slug},
            _("The version that was in force before it decides again."),
        ]
    )


def _removing_overlay(admin: Any, call: Call) -> Effects:
    overlay: Overlay = admin.find(call.key, ctx=call.ctx)
    scope = f"{overlay.scope_kind} {overlay.scope_slug}".strip()
    others = selectors.overlays(call.ctx).filter(scope_kind=overlay.scope_kind, scope_slug=overlay.scope_slug)
    count = others.exclude(id=overlay.id).count()
    return Effects(
        [
            _("%(policy)s no longer applies to %(scope)s, from the next decision on.")
            % {"policy": overlay.policy.slug, "scope": scope},
            ngettext(
                "%(count)s other policy still applies there.", "%(count)s other policies still apply there.", count
            )
            % {"count": count},
            _("Requests to which no policy applies are denied."),
        ]
    )


def _where(policy: Policy, *, ctx: ActingContext) -> str:
    """Return the scopes in which the policy applies, as a sentence."""
    bound = selectors.overlays(ctx).filter(policy=policy).order_by("scope_kind", "scope_slug")
    scopes = [f"{kind} {slug}".strip() for kind, slug in bound.values_list("scope_kind", "scope_slug")[:_SCOPES_NAMED]]
    if not scopes:
        return _("No overlay binds the policy, so it applies nowhere.")
    return _("It applies to: %(scopes)s.") % {"scopes": ", ".join(scopes)}


def _replacing_workflow(_admin: Any, form: Any) -> Effects:
    """Return the difference of two versions. A document that cannot be parsed is refused here."""
    text = form.written() if isinstance(form, WorkflowBuilderForm) else form.cleaned_data["document"]
    document = one_document(text)
    with with_lines(document):
        parse_workflow(document.value)
    sentence = _("New work items get the new version. Existing ones keep theirs.")
    return Effects([sentence], diff_rows(workflow_text(form.row), document.written))


def _replacing_items(_admin: Any, form: Any) -> Effects:
    before = "\n".join(map(str, form.row.current_version.spec))
    after = "\n".join(line.strip() for line in form.cleaned_data["items"].splitlines() if line.strip())
    return Effects([_("Decisions read the new items from now on.")], diff_rows(before, after))


def _ending_shadow(admin: Any, call: Call) -> Effects:
    shadow: PolicyShadow = admin.find(call.key, ctx=call.ctx)
    return Effects(
        [
            _("%(version)s is no longer compared with live decisions. No decision changes.")
            % {"version": shadow.policy_version},
            _("Its results stay. It cannot be continued."),
        ]
    )


def _cancelling_replay(admin: Any, call: Call) -> Effects:
    admin.find(call.key, ctx=call.ctx)
    return Effects([_("The replay stops. What it has compared stays, and it can be resumed.")])


NEW_WORKFLOW_VERSION: Final = FormConfirmation(_replacing_workflow)
NEW_ITEMS: Final = FormConfirmation(_replacing_items)
END_SHADOW: Final = Confirmation(gettext_lazy("End shadow"), _ending_shadow)
CANCEL_REPLAY: Final = Confirmation(gettext_lazy("Cancel replay"), _cancelling_replay)
PUBLISH: Final = Confirmation(gettext_lazy("Publish version"), _publishing)
RETIRE: Final = Confirmation(gettext_lazy("Retire version"), _retiring)
END_EMERGENCY: Final = Confirmation(gettext_lazy("End emergency publication"), _ending)
REMOVE_OVERLAY: Final = Confirmation(gettext_lazy("Remove overlay"), _removing_overlay)
