"""Form that builds a workflow: fields of the payload, actions, title. It shows the document that it writes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Final

from django import forms
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies.admin.texts import workflow_text
from policies.documents.payload_fields import CHOICE, MONEY, TYPES, FieldRow, kept_by, rows_of, with_rows
from threada_site.admin.documents import as_yaml, one_document
from threada_site.admin.forms import ConsoleForm
from threada_site.kernel import ids

MOST_ROWS: Final = 100
_EMPTY_ROWS: Final = 3
_KEY: Final = r"^[A-Za-z_][A-Za-z0-9_]{0,62}$"
_CURRENCY: Final = r"^[A-Z]{3}$"
_LABELS: Final = {
    "text": gettext_lazy("text"),
    CHOICE: gettext_lazy("choice"),
    "integer": gettext_lazy("whole number"),
    "number": gettext_lazy("number"),
    "boolean": gettext_lazy("yes or no"),
    "date": gettext_lazy("date"),
    "date-time": gettext_lazy("date and time"),
    "email": gettext_lazy("mail address"),
    "uri": gettext_lazy("web address"),
    MONEY: gettext_lazy("money"),
    "percent": gettext_lazy("percent"),
}


class RowForm(forms.Form):
    """One field of the payload. A row without a name is not used."""

    was = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    label = forms.CharField(label=gettext_lazy("Label"), required=False, max_length=200)
    key = forms.RegexField(
        _KEY,
        label=gettext_lazy("Name"),
        required=False,
        error_messages={"invalid": gettext_lazy("Use letters, digits and _, beginning with a letter.")},
    )
    type = forms.ChoiceField(label=gettext_lazy("Type"), choices=[(name, _LABELS[name]) for name in TYPES])
    is_required = forms.BooleanField(label=gettext_lazy("Required"), required=False)
    choices = forms.CharField(label=gettext_lazy("Choices, separated by commas"), required=False, max_length=4000)
    currency = forms.RegexField(_CURRENCY, label=gettext_lazy("Currency"), required=False)

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cleaned_data
        if found.get("key") and found.get("type") == CHOICE and not _listed(found.get("choices", "")):
            self.add_error("choices", _("List the choices."))
        if found.get("key") and found.get("type") == MONEY and not found.get("currency"):
            self.add_error("currency", _("Enter a currency, for example EUR."))
        return found

    @property
    def row(self) -> FieldRow:
        found = self.cleaned_data
        return FieldRow(
            key=found["key"],
            label=found["label"],
            type=found["type"],
            is_required=found["is_required"],
            choices=tuple(_listed(found["choices"])),
            currency=found["currency"],
            was=found["was"],
        )


RowFormSet = forms.formset_factory(
    RowForm, extra=_EMPTY_ROWS, can_order=True, can_delete=True, max_num=MOST_ROWS, absolute_max=MOST_ROWS
)


class WorkflowBuilderForm(ConsoleForm):
    """Form of a workflow. What it cannot express is kept as the document says it."""

    template = "policies/workflow_builder.html"
    slug = forms.SlugField(label=gettext_lazy("Id"), max_length=63)
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    title = forms.CharField(
        label=gettext_lazy("Title of requests"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("For example: Pay ${item.payload.vendor}"),
    )
    actions = forms.CharField(
        label=gettext_lazy("Actions"),
        required=False,
        help_text=gettext_lazy("Names of actions of integrations, separated by commas."),
    )

    def prepare(self) -> None:
        if self.row is not None:
            del self.fields["slug"]
            spec = self.spec
            self.initial = {
                "name": spec.get("name", ""),
                "title": spec.get("title", ""),
                "actions": ", ".join(spec.get("actions", [])),
            }

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Return the spec of the document that is edited."""
        if self.row is None:
            return {"name": "", "channel_required": False, "payload_schema": {"type": "object"}, "actions": []}
        return dict(one_document(workflow_text(self.row)).value["spec"])

    @cached_property
    def rows(self) -> Any:
        shown = [
            {
                "key": row.key,
                "label": row.label,
                "type": row.type,
                "is_required": row.is_required,
                "choices": ", ".join(row.choices),
                "currency": row.currency,
                "was": row.was,
            }
            for row in rows_of(self.spec.get("payload_schema", {}))
        ]
        return RowFormSet(self.data if self.is_bound else None, initial=shown, prefix="rows")

    def is_valid(self) -> bool:
        return super().is_valid() and self.rows.is_valid() and not self._repeated()

    def rework(self) -> bool:
        if "more" in self.data:
            sent: Any = self.data.copy()  # type: ignore[attr-defined]
            count = sent.get("rows-TOTAL_FORMS", "")[:4]
            sent["rows-TOTAL_FORMS"] = str(min(int(count) + _EMPTY_ROWS, MOST_ROWS)) if count.isdecimal() else "3"
            self.data = sent
            return True
        return "show" in self.data

    def document(self) -> dict[str, Any]:
        """Return the document that the entered values describe."""
        spec = copy.deepcopy(self.spec)
        spec["name"] = self.cleaned_data["name"]
        spec["actions"] = _listed(self.cleaned_data["actions"])
        if self.cleaned_data["title"]:
            spec["title"] = self.cleaned_data["title"]
        else:
            spec.pop("title", None)
        spec["payload_schema"] = with_rows(spec.get("payload_schema", {}), list(self._used()))
        return {"kind": "Workflow", "id": self.row.slug if self.row else self.cleaned_data["slug"], "spec": spec}

    def shown_with(self) -> dict[str, Any]:
        is_shown = self.is_bound and "more" not in self.data and self.is_valid()
        return {
            "rows": self.rows,
            "kept": kept_by(self.spec.get("payload_schema", {})),
            "document": as_yaml(self.document()) if is_shown else "",
            "has_comments": self.row is not None and "#" in workflow_text(self.row),
        }

    def _used(self) -> Iterator[FieldRow]:
        """Yield the rows in their order, without empty and deleted ones."""
        for form in self.rows.ordered_forms:
            if form.cleaned_data.get("key"):
                yield form.row

    def _repeated(self) -> bool:
        """Return True if a name occurs twice, with an error at the second field."""
        seen: set[str] = set()
        for form in self.rows.ordered_forms:
            key = form.cleaned_data.get("key", "")
            if key and key in seen:
                form.add_error("key", _("This name occurs twice."))
                return True
            seen.add(key)
        if self.row is None and not ids.is_slug(self.cleaned_data.get("slug", "")):
            self.add_error("slug", _("Choose another id: a to z, 0 to 9, - and _."))
            return True
        return False


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
