"""Form that builds a workflow: fields of the payload, actions, title, requests. It shows its document and its form."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django import forms
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies import selectors
from policies.admin.builder_sources import SOURCES
from policies.admin.workflow_rows import EMPTY_ROWS, MOST_ROWS, RowFormSet, listed
from policies.configuration.texts import workflow_text
from policies.documents.payload_fields import FieldRow, kept_by, rows_of, with_rows
from policies.documents.workflow import parse_workflow
from threada_site.admin.documents import as_yaml, one_document
from threada_site.admin.forms import CodeArea, ConsoleForm
from threada_site.admin.schema_fields import YamlField
from threada_site.kernel import ids
from threada_site.kernel.documents.key_order import in_order_of
from threada_site.kernel.documents.patch import patched
from threada_site.kernel.documents.writer import write_document
from threada_site.kernel.errors import DocumentInvalid

_MOST_CHANNELS: Final = 500
_ALWAYS: Final = ("name", "payload_schema", "actions")
"""Members of a spec that stay although they are empty."""


class WorkflowBuilderForm(ConsoleForm):
    """Form of a workflow. What it cannot express is kept as the document says it, and so are its comments."""

    template = "policies/workflow_builder.html"
    slug = forms.SlugField(label=gettext_lazy("Id"), max_length=63)
    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    title = forms.CharField(
        label=gettext_lazy("Title of requests"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("For example: Pay ${item.payload.vendor}"),
    )
    summary = forms.CharField(
        label=gettext_lazy("Summary"),
        required=False,
        help_text=gettext_lazy("Names of the fields that people see first, in this order, separated by commas."),
    )
    related_by = forms.CharField(
        label=gettext_lazy("Related by"),
        required=False,
        help_text=gettext_lazy("Names of fields. Work items with the same values there are shown as related."),
    )
    actions = forms.CharField(
        label=gettext_lazy("Actions"),
        required=False,
        help_text=gettext_lazy("Names of actions of integrations, separated by commas."),
    )
    request = forms.ChoiceField(
        label=gettext_lazy("A request executes"),
        required=False,
        help_text=gettext_lazy("Without an action, the console offers no form of this workflow."),
    )
    channel = forms.ChoiceField(label=gettext_lazy("Channel of requests"), required=False)
    input = YamlField(
        label=gettext_lazy("Input of the action"),
        required=False,
        widget=CodeArea(4),
        max_length=20_000,
        help_text=gettext_lazy("Written as YAML. For example: vendor: ${item.payload.vendor}"),
    )

    def prepare(self) -> None:
        declared = self.spec.get("request") or {}
        self._offer(declared)
        if self.row is not None:
            del self.fields["slug"]
            spec = self.spec
            self.initial = {
                "name": spec.get("name", ""),
                "title": spec.get("title", ""),
                "summary": _names(spec.get("summary", [])),
                "related_by": _names(spec.get("related_by", [])),
                "actions": ", ".join(spec.get("actions", [])),
                "request": _pair(declared) if declared else "",
                "channel": declared.get("channel", ""),
                "input": as_yaml(declared["input"]) if declared.get("input") else "",
            }

    @cached_property
    def text(self) -> str:
        """Return the text of the document that is edited; empty for a new workflow."""
        return workflow_text(self.row) if self.row is not None else ""

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Return the spec of the document that is edited."""
        if self.row is None:
            return {"name": "", "channel_required": False, "payload_schema": {"type": "object"}, "actions": []}
        return dict(one_document(self.text).value["spec"])

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
        return super().is_valid() and self.rows.is_valid() and not self._repeated() and not self._unknown_fields()

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cleaned_data
        given = found.get("input")
        if given is not None and not isinstance(given, dict):
            self.add_error("input", _("Write names and values, for example vendor: ${item.payload.vendor}"))
        if not found.get("request") and (given or found.get("channel")):
            self.add_error("request", _("Choose the action that a request executes."))
        return found

    def rework(self) -> bool:
        if "more" in self.data:
            sent: Any = self.data.copy()  # type: ignore[attr-defined]
            count = sent.get("rows-TOTAL_FORMS", "")[:4]
            sent["rows-TOTAL_FORMS"] = str(min(int(count) + EMPTY_ROWS, MOST_ROWS)) if count.isdecimal() else "3"
            self.data = sent
            return True
        return "show" in self.data

    def document(self) -> dict[str, Any]:
        """Return the document that the entered values describe."""
        chosen = self.cleaned_data
        spec = copy.deepcopy(self.spec)
        declared = self._declared(spec.get("request") or {})
        actions = listed(chosen["actions"])
        if declared and declared["action"] not in actions:
            actions.append(declared["action"])
        changed = {
            "name": chosen["name"],
            "title": chosen["title"],
            "summary": _pointers(chosen["summary"]),
            "related_by": _pointers(chosen["related_by"]),
            "payload_schema": with_rows(spec.get("payload_schema", {}), list(self._used())),
            "actions": actions,
            "request": declared,
        }
        for key, value in changed.items():
            if value or (key in _ALWAYS and key in spec):
                spec[key] = value
            else:
                spec.pop(key, None)
        slug = self.row.slug if self.row else chosen["slug"]
        return {"kind": "Workflow", "id": slug, "spec": spec}

    def written(self) -> str:
        """Return the text of `document`, with the comments and the order of the text that is edited."""
        value = self.document()
        return patched(self.text, value) if self.text else write_document(value)

    def shown_with(self) -> dict[str, Any]:
        is_shown = self.is_bound and "more" not in self.data and self.is_valid()
        return {
            "rows": self.rows,
            "kept": kept_by(self.spec.get("payload_schema", {})),
            "document": self.written() if is_shown else "",
            "preview": self._preview(self.document()["spec"] if is_shown else self.spec) if self._has_form() else "",
        }

    def _has_form(self) -> bool:
        """Return True if there is a form to show: the one that is entered, or the one of the document."""
        return self.is_valid() if self.is_bound else self.row is not None

    def _preview(self, spec: Mapping[str, Any]) -> Any:
        try:
            return SOURCES.form_of(parse_workflow(spec))
        except DocumentInvalid:
            return ""

    def _offer(self, declared: Mapping[str, Any]) -> None:
        """Set the choices of action and channel. What the document says stays a choice."""
        offered = {
            f"{one.action} {one.integration}": f"{one.action}: {one.integration_name}"
            for one in SOURCES.action_choices(self.ctx)
        }
        if declared:
            offered.setdefault(_pair(declared), f"{declared['action']}: {declared['integration']}")
        channels = dict(selectors.channels(self.ctx).order_by("slug").values_list("slug", "name")[:_MOST_CHANNELS])
        if declared.get("channel"):
            channels.setdefault(declared["channel"], "")
        action, channel = self.fields["request"], self.fields["channel"]
        assert isinstance(action, forms.ChoiceField) and isinstance(channel, forms.ChoiceField)  # noqa: S101, PT018
        action.choices = [("", _("nothing")), *offered.items()]
        channel.choices = [("", _("none")), *((slug, name or slug) for slug, name in channels.items())]

    def _declared(self, before: Mapping[str, Any]) -> dict[str, Any]:
        """Return the declaration of requests, in the order of the one before."""
        chosen = self.cleaned_data
        if not chosen["request"]:
            return {}
        action, integration = chosen["request"].split()
        declared = {
            "action": action,
            "integration": integration,
            "channel": chosen["channel"],
            "input": chosen["input"],
        }
        given: dict[str, Any] = in_order_of({key: value for key, value in declared.items() if value}, before)
        return given

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

    def _unknown_fields(self) -> bool:
        """Return True if the summary or the related work items name a field that the request does not have."""
        before = self.spec.get("payload_schema", {})
        known = with_rows(before, list(self._used()))["properties"]
        kept = before.get("properties", {}) if isinstance(before, Mapping) else {}
        is_wrong = False
        for name in ("summary", "related_by"):
            beyond = {pointer for pointer in self.spec.get(name, []) if _first(pointer) not in kept}
            unknown = [
                one for one in _pointers(self.cleaned_data[name]) if _first(one) not in known and one not in beyond
            ]
            if unknown:
                self.add_error(name, _("There is no field %(name)s.") % {"name": _names(unknown[:1])})
                is_wrong = True
        return is_wrong


def _pair(declared: Mapping[str, Any]) -> str:
    return f"{declared['action']} {declared['integration']}"


def _names(pointers: Iterable[str]) -> str:
    """Return pointers as a person writes them: fields of the payload by name, others as they are."""
    return ", ".join(pointer[1:] if "/" not in pointer[1:] else pointer for pointer in pointers)


def _pointers(text: str) -> list[str]:
    return [name if name.startswith("/") else f"/{name}" for name in listed(text)]


def _first(pointer: str) -> str:
    """Return the name of the field of the payload that a pointer, or a name, leads to or through."""
    return pointer.removeprefix("/").split("/")[0].replace("~1", "/").replace("~0", "~")
