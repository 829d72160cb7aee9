"""Editor of drafts: the document as text, errors by line, test results and rule templates."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies import selectors
from policies.admin.preview import may_preview
from policies.configuration.texts import document_text
from policies.documents.policy import REASON_PATTERN
from policies.documents.rule_templates import COMPARISONS, Fact, RuleTemplate, facts_of, rule_from, with_rule
from policies.drafts.text_check import TextCheck, check_policy_text
from policies.drafts.validation import data_classes_reached_by, schemas_of_all, schemas_reached_by
from policies.language.approvals.schema import MAX_COUNT
from policies.language.rules import Effect
from policies.models import Policy, PolicyVersion
from threada_site.admin.forms import ConsoleForm, DocumentArea
from threada_site.admin.words import lazy_word
from threada_site.kernel.context import ActingContext
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.ids import SLUG_PATTERN
from threada_site.tenancy.models import Role

NEW_POLICY: Final = """\
kind: Policy
id: my_policy
spec:
  rules:
    - id: unsure
      when: "item.confidence < 0.5"
      effect: review
      reason: LOW_CONFIDENCE
    - id: otherwise
      when: "true"
      effect: allow
      reason: NOTHING_AGAINST_IT
  tests:
    - {given: {item: {confidence: 0.3}}, expect: {effect: review, reason: LOW_CONFIDENCE}}
"""
_AUTHENTICATIONS: Final = [
    ("any", gettext_lazy("with any authentication")),
    ("session", gettext_lazy("in a session")),
    ("step_up", gettext_lazy("in a session, with the password again")),
]
_EFFECTS: Final = [(effect.value, lazy_word(effect.value)) for effect in Effect]


class RuleTemplateForm(forms.Form):
    """The choices for a rule template, part of the form of the editor."""

    prefix = "rule"

    fact = forms.CharField(label=gettext_lazy("When"), widget=forms.TextInput({"list": "facts", "autocomplete": "off"}))
    comparison = forms.ChoiceField(
        label=gettext_lazy("Comparison"), choices=[(sign, gettext_lazy(words)) for sign, words in COMPARISONS.items()]
    )
    value = forms.CharField(label=gettext_lazy("Value"), required=False, max_length=500)
    effect = forms.ChoiceField(label=gettext_lazy("Effect"), choices=_EFFECTS, initial=Effect.REQUIRE_APPROVAL.value)
    reason = forms.RegexField(
        f"^{REASON_PATTERN}$",
        label=gettext_lazy("Reason"),
        help_text=gettext_lazy("Capitals, digits and _, e.g. AMOUNT_OVER_LIMIT."),
    )
    id = forms.RegexField(
        f"^{SLUG_PATTERN}$", label=gettext_lazy("Name of the rule"), help_text=gettext_lazy("a to z, 0 to 9, - and _.")
    )
    role = forms.ChoiceField(label=gettext_lazy("Approved by"), required=False)
    count = forms.IntegerField(label=gettext_lazy("How many"), min_value=1, max_value=MAX_COUNT, initial=1)
    authentication = forms.ChoiceField(
        label=gettext_lazy("Votes"),
        choices=_AUTHENTICATIONS,
        initial="any",
        required=False,
        help_text=gettext_lazy("Required authentication of the approvers."),
    )

    def __init__(self, *args: Any, ctx: ActingContext, is_sensitive: bool = False, **kwargs: Any) -> None:
        kwargs |= {"use_required_attribute": False, "label_suffix": ""}
        if is_sensitive:
            kwargs["initial"] = {"authentication": "session"}
        super().__init__(*args, **kwargs)
        slugs = Role.objects.filter(tenant_id=ctx.tenant_id).order_by("slug").values_list("slug", flat=True)[:500]
        self.fields["role"].choices = [("", _("nobody named")), *((slug, slug) for slug in slugs)]  # type: ignore[attr-defined]

    def clean_authentication(self) -> str:
        return self.cleaned_data["authentication"] or "any"

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cleaned_data
        if found.get("effect") == Effect.REQUIRE_APPROVAL and not found.get("role"):
            self.add_error("role", _("Choose the approvers."))
        return found

    def written_into(self, text: str, facts: dict[str, Fact]) -> str | None:
        """Return `text` with the rule inserted, or None with field errors if the choices are invalid."""
        if not self.is_valid():
            return None
        try:
            return with_rule(text, rule_from(RuleTemplate(**self.cleaned_data), facts))
        except DocumentInvalid as error:
            for entry in error.errors:
                self.add_error(entry.pointer if entry.pointer in self.fields else None, entry.detail)
            if not error.errors:
                self.add_error(None, error.detail)
            return None


class DraftForm(ConsoleForm):
    template = "policies/editor.html"
    slug = forms.CharField(
        label=gettext_lazy("Id of the policy"),
        required=False,
        max_length=63,
        help_text=gettext_lazy("a to z, 0 to 9, - and _. Empty: the id in the text."),
    )
    document = forms.CharField(
        label=gettext_lazy("Document (YAML or JSON)"),
        strip=False,
        widget=DocumentArea("Policy", checks_itself=False),
    )
    read_sha256 = forms.CharField(required=False, widget=forms.HiddenInput)

    policy: Policy | None = None
    rule: RuleTemplateForm
    added = ""

    def prepare(self) -> None:
        row = self.row
        self.policy = row.policy if isinstance(row, PolicyVersion) else row
        if row is not None:
            del self.fields["slug"]
        if row is None:
            self.initial = {"document": NEW_POLICY}
        elif isinstance(row, PolicyVersion):
            self.initial = {"document": document_text(row), "read_sha256": row.document_sha256}
        else:
            version = row.in_force or row.versions.order_by("-number").select_related("policy").first()
            self.initial = {"document": document_text(version) if version else NEW_POLICY}
        self.rule = self._new_rule()

    def rework(self) -> bool:
        if "add_rule" not in self.data:
            return "check" in self.data
        self.rule = RuleTemplateForm(self.data, ctx=self.ctx)
        written = self.rule.written_into(self._text(), self._facts())
        if written is not None:
            self.added = self.rule.cleaned_data["id"]
            self.data = {**self.data.dict(), "document": written}  # type: ignore[attr-defined]
            self.rule = self._new_rule()
        return True

    def _new_rule(self) -> RuleTemplateForm:
        """Return the empty form. For workflows of a sensitive data class it proposes votes in a session."""
        classes = data_classes_reached_by(self.policy, ctx=self.ctx)
        is_sensitive = not classes.isdisjoint(settings.THREADA_SENSITIVE_DATA_CLASSES)
        return RuleTemplateForm(ctx=self.ctx, is_sensitive=is_sensitive)

    def shown_with(self) -> dict[str, Any]:
        slug = self.policy.slug if self.policy else ""
        return {
            "rule": self.rule,
            "added": self.added,
            "facts": self._facts().values(),
            "fields": [self.rule[name] for name in self.rule.fields],
            "check": check_policy_text(self._text(), policy=self.policy, ctx=self.ctx),
            "preview_url": reverse("admin:policies_policy_preview", args=[slug])
            if slug and may_preview(self.ctx)
            else "",
            "check_url": reverse("admin:policies_policy_check") + (f"?policy={slug}" if slug else ""),
        }

    def _text(self) -> str:
        text = self.data.get("document", "") if self.is_bound else self.initial["document"]
        return str(text).replace("\r\n", "\n")

    def _facts(self) -> dict[str, Fact]:
        reached = schemas_reached_by(self.policy, ctx=self.ctx) or schemas_of_all(ctx=self.ctx)
        return facts_of(reached.values())


def check_answer(request: HttpRequest, ctx: ActingContext) -> HttpResponse:
    """Return the check of the text in `document` as JSON: positions, and the rendered panel."""
    slug = request.GET.get("policy", "")
    policy = selectors.policy_by_slug(slug, ctx=ctx) if slug else None
    text = request.POST.get("document", "").replace("\r\n", "\n")
    found = check_policy_text(text, policy=policy, ctx=ctx)
    return JsonResponse(
        {
            "marks": [*_marks(found, "error"), *_marks(found, "warning")],
            "tests": {"run": len(found.tests), "failed": found.failed},
            "panel": render_to_string("policies/parts/check.html", {"check": found}, request),
        }
    )


def _marks(found: TextCheck, kind: str) -> list[dict[str, Any]]:
    entries = found.errors if kind == "error" else found.warnings
    marks = [{"kind": kind, "line": entry.line, "column": entry.column, "detail": entry.detail} for entry in entries]
    if kind == "error":
        failing = (test for test in found.tests if test.failure)
        marks += [{"kind": kind, "line": test.line, "column": 1, "detail": test.failure} for test in failing]
    return marks
