"""Rows of the workflow builder: one for each field of the payload."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from policies.documents.payload_fields import CHOICE, MONEY, TYPES, FieldRow

MOST_ROWS: Final = 100
EMPTY_ROWS: Final = 3
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
    """One field of the payload. A row without a name gets one from its label; an empty row is not used."""

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
        if not found.get("key") and "key" not in self.errors and self._is_filled(found):
            found["key"] = name_from(found.get("label", "")) if not found.get("was") else ""
            if not found["key"]:
                self.add_error("key", _("Enter a name, or delete this field."))
        if found.get("key") and found.get("type") == CHOICE and not listed(found.get("choices", "")):
            self.add_error("choices", _("List the choices."))
        if found.get("key") and found.get("type") == MONEY and not found.get("currency"):
            self.add_error("currency", _("Enter a currency, for example EUR."))
        return found

    def _is_filled(self, found: dict[str, Any]) -> bool:
        entered = ("was", "label", "is_required", "choices", "currency")
        return found.get("type", TYPES[0]) != TYPES[0] or any(found.get(name) for name in entered)

    @property
    def row(self) -> FieldRow:
        found = self.cleaned_data
        return FieldRow(
            key=found["key"],
            label=found["label"],
            type=found["type"],
            is_required=found["is_required"],
            choices=tuple(listed(found["choices"])),
            currency=found["currency"],
            was=found["was"],
        )


RowFormSet = forms.formset_factory(
    RowForm, extra=EMPTY_ROWS, can_order=True, can_delete=True, max_num=MOST_ROWS, absolute_max=MOST_ROWS
)


def name_from(label: str) -> str:
    """Return the name of a field with this label: "Invoice number" gives `invoice_number`. Empty if none fits."""
    plain = unicodedata.normalize("NFKD", label.casefold()).encode("ascii", "ignore").decode()
    name = re.sub("[^a-z0-9]+", "_", plain).strip("_")[:63]
    return name if re.fullmatch(_KEY, name) else ""


def listed(text: str) -> list[str]:
    """Return the different parts of a text that commas separate."""
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
