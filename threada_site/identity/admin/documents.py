"""Base of console pages of documents about identity, which stewards list, put and withdraw."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django import forms
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.actions import Call, Done
from threada_site.admin.confirmation import Effects, FormConfirmation
from threada_site.admin.documents import as_yaml, one_document, with_lines
from threada_site.admin.forms import ConsoleForm, DocumentArea
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.schema_fields import in_order
from threada_site.admin.spec_forms import SpecForm
from threada_site.admin.text_diff import Row, diff_rows
from threada_site.identity.stewardship import is_steward
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.documents.structure import Schema
from threada_site.tenancy.authority_models import ChangeSet, ChangeSetStatus
from threada_site.tenancy.models import User
from threada_site.tenancy.upsert import UpsertResult
from threada_site.tenancy.versioned_documents import DocumentVersion

OPERATOR: Final = "operator"
SLUG_HELP: Final = gettext_lazy("a to z, 0 to 9, - and _; at most 63 characters. It cannot be changed later.")
_VERSIONS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """A version on its document's page. `differences`: rows of the comparison with the version before it."""

    version: DocumentVersion
    author: str
    confirmed_by: str
    differences: list[Row]


class NewDocumentForm(SpecForm):
    """Form of a new document: its id, and the members of its spec."""

    slug = forms.CharField(label=gettext_lazy("Id"), max_length=63, help_text=SLUG_HELP)


class WithdrawForm(ConsoleForm):
    """Form without fields: its page says in the words of `intro` what happens, and takes a reason."""


class DocumentForm(ConsoleForm):
    """Form with the whole document as YAML or JSON. Subclasses set its `kind`."""

    kind: ClassVar[str]
    schema: ClassVar[Schema]
    document = forms.CharField(label=gettext_lazy("Document (YAML or JSON)"), strip=False)

    def prepare(self) -> None:
        self.fields["document"].widget = DocumentArea(self.kind)
        self.initial = {"document": whole_document(self.kind, self.row, self.schema)}


class StewardDocumentAdmin(TenantAdmin):
    """Pages of one kind of document. Subclasses declare its kind, its forms and its services."""

    scope = Scope.WORKFLOW_MANAGE
    kind: ClassVar[str]
    schema: ClassVar[Schema]
    """JSON Schema of the spec."""
    argument: ClassVar[str]
    """Argument of change sets with the name of the document."""
    operations: ClassVar[tuple[str, ...]]
    """Operations of change sets that change such a document."""

    def documents(self, tenant_id: uuid.UUID) -> QuerySet[Any]:
        """Return the documents in force, with their versions."""
        raise NotImplementedError

    def put(self, slug: str, document: dict[str, Any], *, ctx: ActingContext) -> UpsertResult[Any]:
        """Parse a whole document and put it in force."""
        raise NotImplementedError

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        rows = self.documents(ctx.tenant_id) if is_steward(ctx) else self.model.objects.none()
        author = User.objects.filter(id=OuterRef("current_version__created_by")).values("username")[:1]
        return rows.annotate(author=Subquery(author))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and is_steward(ctx)

    def page(self, row: Any, *, ctx: ActingContext) -> dict[str, Any]:
        waiting = ChangeSet.objects.filter(
            tenant_id=ctx.tenant_id,
            status=ChangeSetStatus.PROPOSED,
            operation__in=[f"identity.{name}" for name in self.operations],
            **{f"arguments__{self.argument}": row.slug},
        )
        return {
            "version": row.current_version,
            "document": whole_document(self.kind, row, self.schema),
            "versions": shown_versions(row.versions.order_by("-number"), self.schema),
            "waiting": waiting.order_by("id"),
        }

    def save(self, call: Call, form: ConsoleForm, slug: str) -> Done:
        """Put the entered spec in force. Errors are shown next to their fields."""
        assert isinstance(form, SpecForm)  # noqa: S101 - declared by the form pages
        with form.with_errors():
            result = self.put(slug, {"kind": self.kind, "id": slug, "spec": form.spec()}, ctx=call.ctx)
        return saved(result.change, self.url_of(result.row))

    def create(self, call: Call, form: ConsoleForm) -> Done:
        """Put a new document in force."""
        slug = form.cleaned_data["slug"]
        noun = self.opts.verbose_name
        if not ids.is_slug(slug):
            form.add_error("slug", SLUG_HELP)
            raise errors.InvalidRequest("Choose another id.")
        if self.documents(call.ctx.tenant_id).filter(slug=slug).exists():
            form.add_error("slug", _("Choose another id."))
            raise errors.Conflict(f"The {noun} {slug} already exists. Open it to change it.")
        return self.save(call, form, slug)

    def save_document(self, call: Call, form: ConsoleForm) -> Done:
        """Put the entered document in force."""
        document = one_document(form.cleaned_data["document"])
        with with_lines(document):
            value = entered_document(document.value, self.kind, call.key)
            result = self.put(call.key, value, ctx=call.ctx)
        return saved(result.change, self.url_of(result.row))


def _withdrawing(_admin: Any, form: ConsoleForm) -> Effects:
    return Effects([form.intro])


def _replacing(admin: StewardDocumentAdmin, form: ConsoleForm) -> Effects:
    """Return the difference between the document in force and the one that was entered."""
    row, kind, schema = form.row, admin.kind, admin.schema
    if isinstance(form, SpecForm):
        spec: Any = form.spec()
    else:
        document = one_document(form.cleaned_data["document"])
        spec = entered_document(document.value, kind, row.slug)["spec"]
    after = as_yaml({"kind": kind, "id": row.slug, "spec": in_order(spec, schema)})
    sentence = _("The new version is in force from the next sign-in or token on.")
    return Effects([sentence], diff_rows(whole_document(kind, row, schema), after))


def entered_document(value: Any, kind: str, slug: str) -> dict[str, Any]:
    """Return an entered document. Raise `DocumentInvalid` if it is of another kind or name."""
    is_whole = isinstance(value, dict) and isinstance(value.get("spec"), dict)
    if not is_whole or value.get("kind") != kind or value.get("id") != slug:
        raise errors.DocumentInvalid(f"Write kind: {kind}, id: {slug} and spec.")
    return dict(value)


WITHDRAW: Final = FormConfirmation(_withdrawing)
REPLACE: Final = FormConfirmation(_replacing)


def saved(change: str, url: str) -> Done:
    """Return the message after a document was put."""
    return Done(_("The document is unchanged.") if change == "unchanged" else _("The new version is in force."), url)


def author_of(row: Any) -> str:
    """Return who made the current version of a document."""
    version = row.current_version
    return OPERATOR if version.created_by is None else row.author or _(_("somebody"))


def whole_document(kind: str, row: Any, schema: Schema) -> str:
    """Return the document in force as YAML, in the order of its schema."""
    return as_yaml({"kind": kind, "id": row.slug, "spec": in_order(row.current_version.spec, schema)})


def shown_versions(versions: QuerySet[Any], schema: Schema) -> list[ShownVersion]:
    """Return the last versions, newest first, each with its author and what it changed."""
    found = list(versions[: _VERSIONS_SHOWN + 1])
    names = _names(
        person for version in found for person in (version.created_by, getattr(version, "proposed_by", None))
    )
    older: list[Any] = [*found[1:], None]
    shown = []
    for version, before in zip(found, older, strict=True):
        proposer = getattr(version, "proposed_by", None)
        maker = OPERATOR if version.created_by is None else names.get(version.created_by, _(_("somebody")))
        old, new = (as_yaml(in_order(one.spec, schema)) if one is not None else "" for one in (before, version))
        rows = diff_rows(old, new) if before is not None else []
        author, confirmed_by = (names.get(proposer, _(_("somebody"))), maker) if proposer else (maker, "")
        shown.append(ShownVersion(version, author, confirmed_by, rows))
    return shown[:_VERSIONS_SHOWN]


def _names(people: Iterable[uuid.UUID | None]) -> dict[uuid.UUID, str]:
    return dict(User.objects.filter(id__in={one for one in people if one}).values_list("id", "username"))
