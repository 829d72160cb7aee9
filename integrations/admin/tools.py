"""Form that accepts tools of an MCP server, and what its confirmation shows."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.lifecycle import ToolStatus
from integrations.models import Tool
from integrations.tools.usable import WAITING, tools_of
from threada_site.admin.confirmation import Effects, FormConfirmation
from threada_site.admin.documents import LINES_SHOWN, as_yaml
from threada_site.admin.forms import ConsoleForm
from threada_site.admin.text_diff import diff_rows
from threada_site.kernel.documents.writer import write_document


class ToolsForm(ConsoleForm):
    """Tools to accept, each with the digest that the page shows."""

    intro = gettext_lazy(
        "Agents read these descriptions, and some models follow what descriptions say. The next page shows them as "
        "text, with the difference to what was accepted before. Accepted tools can be called at /mcp; policies decide "
        "about every call."
    )
    tools = forms.MultipleChoiceField(label=gettext_lazy("Tools"), widget=forms.CheckboxSelectMultiple)

    def prepare(self) -> None:
        choices = [(f"{tool.found_sha256} {tool.name}", _label(tool)) for tool in waiting_tools(self.row)]
        chosen = self.fields["tools"]
        assert isinstance(chosen, forms.MultipleChoiceField)  # noqa: S101 - declared above
        chosen.choices = choices
        self.initial = {"tools": [value for value, _label in choices]}

    def clean_tools(self) -> list[str]:
        """Return the choices. Raise `ValidationError` if the next page could not show all that is accepted."""
        values: list[str] = self.cleaned_data["tools"]
        tools = {tool.name: tool for tool in waiting_tools(self.row)}
        names = [value.partition(" ")[2] for value in values]
        lines = len(write_document({name: tools[name].found for name in names}).splitlines())
        if lines > LINES_SHOWN:
            raise forms.ValidationError(
                _(
                    "These descriptions have {number} lines together, and the next page shows {shown}. Choose fewer "
                    "tools, or read them and accept them by the API."
                ).format(number=lines, shown=LINES_SHOWN)
            )
        return values

    @property
    def chosen(self) -> dict[str, str]:
        """Return the digests by name."""
        found = {}
        for value in self.cleaned_data["tools"]:
            sha256, _space, name = value.partition(" ")
            found[name] = sha256
        return found


def waiting_tools(integration: Any) -> list[Tool]:
    """Return the tools that a person can accept now."""
    return [tool for tool in tools_of(integration) if tool.status in WAITING]


def _label(tool: Tool) -> str:
    said = _("new") if tool.status is ToolStatus.PENDING else _("changed")
    return f"{tool.name} ({said})"


def _accepting(_admin: Any, form: ToolsForm) -> Effects:
    """Return the difference between the accepted descriptions and the ones found."""
    tools = {tool.name: tool for tool in waiting_tools(form.row)}
    chosen = [tools[name] for name in form.chosen]
    before = as_yaml({tool.name: tool.accepted for tool in chosen if tool.accepted})
    after = as_yaml({tool.name: tool.found for tool in chosen})
    sentences = [
        _("Agents can call these tools from now on. Policies decide about every call."),
        _("Executions that wait for an approval get a new envelope and must be approved again."),
    ]
    return Effects(sentences, diff_rows("" if before.strip() == "{}" else before, after))


ACCEPT: Final = FormConfirmation(_accepting)
