"""Form pages that reassign a decision step or escalate it."""

from __future__ import annotations

from typing import Any, Final, cast

from django import forms
from django.utils.translation import gettext, gettext_lazy
from django.utils.translation import gettext as _

from policies.language.approvals import Leaf, LeafKind, from_json
from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.identity.selectors import groups_of_tenant, roles_of_tenant
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from workitems.admin.assignment import MOST_CHOICES, assign_to_sent
from workitems.api.shapes import ESCALATE_STEP
from workitems.approvers.active_members import active_members_of
from workitems.approvers.step_votes import read_step_votes
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of
from workitems.models import DecisionStep, WorkItem
from workitems.steps.escalation import escalate_step

_BY_RULE: Final = "rule"


class ReassignForm(ConsoleForm):
    """New assignee, chosen from the people who could decide the step now."""

    intro = gettext_lazy(
        "The step is assigned to this person, who is notified. Nobody loses the right to decide. To decide it "
        "yourself, claim it instead."
    )
    row: DecisionStep
    to = forms.ChoiceField(label=gettext_lazy("Assign to"))
    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=1000, strip=True)

    def prepare(self) -> None:
        step = self.row
        votes = read_step_votes(step, workflow_id=step.work_item.workflow_version.workflow_id)
        counting = votes.can_vote_ids() - {step.assignee_id, self.ctx.principal_id}
        names = [member.username for member in votes.active_members if member.id in counting]
        if len(names) > MOST_CHOICES:
            self.fields["to"] = forms.CharField(
                label=gettext("Assign to"), max_length=150, help_text=gettext("A person's name.")
            )
            return
        self.fields["to"].choices = [("", _("choose…")), *((name, name) for name in names)]  # type: ignore[attr-defined]
        if not names:
            self.fields["to"].help_text = gettext("No other person can decide this step now.")


class EscalateForm(ConsoleForm):
    """Approvers whom the rule names. Managers of the workflow may name others."""

    intro = gettext_lazy(
        "These people may decide the step too and are notified. Nobody loses the right to decide. An escalation to "
        "people whom the rule does not name takes effect when an independent person confirms it. It cannot name you."
    )
    row: DecisionStep
    to = forms.ChoiceField(label=gettext_lazy("Escalate to"))
    reason = forms.CharField(label=gettext_lazy("Reason"), required=False, max_length=1000, strip=True)

    def prepare(self) -> None:
        step = self.row
        named = from_json(step.rule).escalate_to
        choices: list[Any] = [("", _("choose…"))]
        if named:
            words = ", ".join(f"the {leaf.kind} {leaf.name}" for leaf in named)
            choices.append((_BY_RULE, gettext("named by the rule: {words}").format(words=words)))
        workflow_id = step.work_item.workflow_version.workflow_id
        if self.ctx.allows(Scope.WORKFLOW_MANAGE, workflow=workflow_id):
            for kind, rows in (
                ("role", roles_of_tenant(self.ctx.tenant_id)),
                ("group", groups_of_tenant(self.ctx.tenant_id)),
            ):
                slugs = rows.order_by("slug").values_list("slug", flat=True)[:MOST_CHOICES]  # type: ignore[attr-defined]
                choices.append((f"a {kind}", [(f"{kind}/{slug}", slug) for slug in slugs]))
            members = active_members_of(step.tenant_id)
            people = [member.username for member in members if member.id != self.ctx.principal_id]
            if len(people) <= MOST_CHOICES:
                choices.append((gettext("a person"), [(f"user/{name}", name) for name in people]))
        self.fields["to"].choices = choices  # type: ignore[attr-defined]
        if len(choices) == 1:
            self.fields["to"].help_text = gettext("The rule names nobody. A manager of the workflow may name somebody.")


class ReassignmentPages:
    """Form pages for reassignment and escalation; mixed into the admin of decision steps."""

    @form_page(
        gettext_lazy("Reassign"),
        form=ReassignForm,
        scope=Scope.DECISIONS_DECIDE,
        submit=gettext_lazy("Reassign step"),
        of_row=True,
    )
    def reassign(self, call: Call, form: ConsoleForm) -> Done:
        item, step = locked_step_of(call)
        return assign_to_sent(item, step, call, reason=form.cleaned_data["reason"])

    @form_page(
        gettext_lazy("Escalate"),
        form=EscalateForm,
        scope=Scope.DECISIONS_DECIDE,
        submit=gettext_lazy("Escalate step"),
        of_row=True,
    )
    def escalate(self, call: Call, form: ConsoleForm) -> Done:
        item, step = locked_step_of(call)
        kind, _, name = form.cleaned_data["to"].partition("/")
        body = ESCALATE_STEP.check(_filled(form, **({} if kind == _BY_RULE else {"to": {kind: name}})))
        to = None if kind == _BY_RULE else Leaf(cast("LeafKind", kind), name)
        escalate_step(item, step, to=to, reason=body.get("reason", ""), ctx=call.ctx)
        return Done(gettext("The step is escalated. More people may decide it now."))


def _filled(form: ConsoleForm, **fields: Any) -> dict[str, Any]:
    reason = form.cleaned_data["reason"]
    return {**fields, **({"reason": reason} if reason else {})}


def locked_step_of(call: Call) -> tuple[WorkItem, DecisionStep]:
    """Return the locked step that a button is about, with its locked item. Raise `NotFound`."""
    parsed = ids.parse_public_id(ids.DECISION_STEP, call.key)
    if parsed is None:
        raise errors.NotFound
    item, step = locked_step(parsed, ctx=call.ctx)
    call.subject = subject_of(item)
    return item, step
