"""Policies and their versions: what each says, and putting drafts in force."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet

from policies import selectors
from policies.admin.trying import TryingPages
from policies.models import Policy, PolicyVersion
from policies.services.drafts import draft_policy_version, edit_draft
from policies.services.locks import locked_policy_of, locked_version
from policies.services.publishing import publish_policy_version, retire_policy_version
from policies.services.validation import validate_policy
from telemetry.receipts import Subject
from threada_site.admin import html
from threada_site.admin.acts import Call, Done, act
from threada_site.admin.documents import as_yaml, one_document, with_lines
from threada_site.admin.forms import CodeArea, ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User

_SHOWN = 100
_NEW_POLICY = """\
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


class DraftForm(ConsoleForm):
    intro = "A draft decides nothing until it is published. Conditions are CEL; whatever no rule matches is denied."
    document = forms.CharField(label="Document (YAML or JSON)", strip=False, widget=CodeArea())

    def prepare(self) -> None:
        if self.row is None:
            self.initial = {"document": _NEW_POLICY}
        elif isinstance(self.row, PolicyVersion):
            self.initial = {"document": document_text(self.row)}
        else:
            version = self.row.in_force or self.row.versions.order_by("-number").select_related("policy").first()
            self.initial = {"document": document_text(version) if version else _NEW_POLICY}


@admin.register(Policy)
class PolicyAdmin(TenantAdmin):
    columns = (
        Column("Policy", lambda policy: policy.slug),
        Column("In force", lambda policy: f"v{policy.in_force.number}" if policy.in_force else html.badge("none")),
        Column("Rules", lambda policy: len(policy.in_force.document["rules"]) if policy.in_force else html.NOTHING),
        Column("Published", lambda policy: html.when(policy.in_force.published_at) if policy.in_force else "never"),
    )
    about = "Rule documents. A policy decides where an overlay binds it; one without a version in force denies there."
    nothing_yet = "There is no policy, so everything is denied. Draft one, publish it, and bind it with an overlay."
    page_template = "policies/policy.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return selectors.policies(ctx)

    def page(self, row: Policy, *, ctx: ActingContext) -> dict[str, Any]:
        return {
            "document": document_text(row.in_force, slug=row.slug) if row.in_force else "",
            "versions": selectors.policy_versions(row).defer("document").order_by("-number")[:_SHOWN],
            "overlays": selectors.overlays(ctx).filter(policy=row).order_by("scope_kind", "scope_slug")[:_SHOWN],
        }

    @form_page("New policy", form=DraftForm, scope=Scope.POLICIES_WRITE, submit="Save as draft")
    def new(self, call: Call, form: ConsoleForm) -> Done:
        document = one_document(form.cleaned_data["document"])
        slug = document.value.get("id") if isinstance(document.value, dict) else None
        if not isinstance(slug, str) or not ids.is_slug(slug):
            raise errors.DocumentInvalid("Name the policy: id: my_policy.")
        return _drafted(slug, document, call)

    @form_page("New draft", form=DraftForm, scope=Scope.POLICIES_WRITE, of_row=True, submit="Save as draft")
    def new_draft(self, call: Call, form: ConsoleForm) -> Done:
        return _drafted(call.key, one_document(form.cleaned_data["document"]), call)


@admin.register(PolicyVersion)
class PolicyVersionAdmin(TryingPages, TenantAdmin):
    id_prefix = ids.POLICY_VERSION
    key = "-id"
    columns = (
        Column("Version", str),
        Column("Status", lambda version: html.badge(version.status)),
        Column("Made", lambda version: html.when(version.created_at)),
        Column("Published", lambda version: html.when(version.published_at) or html.NOTHING),
        Column("SHA-256", lambda version: html.code(version.document_sha256[:16])),
    )
    page_template = "policies/version.html"
    shows_edits = True

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return PolicyVersion.objects.filter(tenant_id=ctx.tenant_id).select_related("policy")

    def page(self, row: PolicyVersion, *, ctx: ActingContext) -> dict[str, Any]:
        people = {person for person in (row.created_by, row.published_by, row.retired_by) if person}
        names: dict[Any, str] = {user.id: str(user) for user in User.objects.filter(id__in=people)}
        is_draft = row.status == "draft"
        may_publish = ctx.allows(Scope.POLICIES_PUBLISH)
        return {
            "list_title": f"policy {row.policy.slug}",
            "list_url": html.page_url("policies.policy", row.policy.slug),
            "document": document_text(row),
            "in_force": row.policy.in_force_id == row.id,
            "created_by": names.get(row.created_by, "the instance"),
            "published_by": names.get(row.published_by, "the instance"),
            "retired_by": names.get(row.retired_by, "the instance"),
            "may_publish": is_draft and may_publish,
            "may_retire": row.status == "published" and may_publish,
            "may_check": ctx.allows(Scope.POLICIES_WRITE),
            "forms": self._forms(ctx, of_row=True, key=row.public_id) if is_draft else [],
        }

    @form_page("Edit the draft", form=DraftForm, scope=Scope.POLICIES_WRITE, of_row=True, submit="Save the draft")
    def edit(self, call: Call, form: ConsoleForm) -> Done:
        document = one_document(form.cleaned_data["document"])
        with with_lines(document):
            edit_draft(form.row, document.value, ctx=call.ctx)
        return Done("The draft is saved.")

    @act(Scope.POLICIES_WRITE)
    def validate(self, call: Call) -> Done:
        """Would it pass, were it published now?"""
        version = self._version(call)
        found = validate_policy(version.document, policy=version.policy, ctx=call.ctx)
        found.check()
        reached = ", ".join(found.workflows) or "no workflow yet"
        return Done(f"It would pass. Its conditions fit what they reach ({reached}), and its tests hold.")

    @act(Scope.POLICIES_PUBLISH)
    def publish(self, call: Call) -> Done:
        """Put exactly the draft that was shown in force."""
        version = self._version(call)
        locked_policy_of(version, ctx=call.ctx)
        draft = locked_version(version, ctx=call.ctx)
        if call.sent("document_sha256") != draft.document_sha256:
            raise errors.PreconditionFailed("The draft has changed since you read it. Read it again, then publish it.")
        publish_policy_version(draft, ctx=call.ctx, applies_to_open=call.sent("applies_to_open") == "on")
        return Done(f"Version {draft.number} is in force.")

    @act(Scope.POLICIES_PUBLISH)
    def retire(self, call: Call) -> Done:
        version = self._version(call)
        retire_policy_version(version, ctx=call.ctx)
        return Done(f"Version {version.number} is retired. Open steps that it asked for are decided anew.")

    def _version(self, call: Call) -> PolicyVersion:
        parsed = ids.parse_public_id(ids.POLICY_VERSION, call.key)
        version: PolicyVersion | None = self.rows(call.ctx).filter(id=parsed).first() if parsed else None
        if version is None:
            raise errors.NotFound
        call.subject = Subject(policy_version_id=version.id, status=version.status)
        return version


def document_text(version: PolicyVersion, *, slug: str = "") -> str:
    """A version as the document that `manage.py apply` takes."""
    return as_yaml({"kind": "Policy", "id": slug or version.policy.slug, "spec": version.document})


def _drafted(slug: str, document: Any, call: Call) -> Done:
    with with_lines(document):
        put = draft_policy_version(slug, document.value, ctx=call.ctx)
    said = "There is such a version already." if put.change == "unchanged" else f"Version {put.row.number} is drafted."
    return Done(said, html.page_url("policies.policyversion", put.row.public_id))
