"""Form of a test call, and what its confirmation says."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from integrations.models import Integration
from integrations.probes.calls import AskedCall, prepared_call
from threada_site.admin.confirmation import Effects, FormConfirmation
from threada_site.admin.documents import as_yaml
from threada_site.admin.forms import CodeArea, ConsoleForm
from threada_site.admin.schema_fields import YamlField


class TestCallForm(ConsoleForm):
    """Action and sample values of a test call."""

    intro = gettext_lazy(
        "Calls an action of the current version once, with sample values instead of a work item. No policy decides "
        "and nobody approves, so a call that may change something is possible only while no workflow allows the "
        "action, and never under four eyes."
    )
    action = forms.ChoiceField(label=gettext_lazy("Action"))
    payload = YamlField(
        label=gettext_lazy("Payload of the sample"),
        required=False,
        max_length=20_000,
        widget=CodeArea(6),
        help_text=gettext_lazy("Written as YAML. Templates read it as item.payload."),
    )
    input = YamlField(
        label=gettext_lazy("Input of the action"),
        required=False,
        max_length=20_000,
        widget=CodeArea(4),
        help_text=gettext_lazy("Written as YAML. Templates read it as input."),
    )
    accepts_effects = forms.BooleanField(
        label=gettext_lazy("Send it although it may change something at the receiver"), required=False
    )

    def prepare(self) -> None:
        names = sorted(self.row.current_version.spec["actions"])
        chosen = self.fields["action"]
        assert isinstance(chosen, forms.ChoiceField)  # noqa: S101 - declared above
        chosen.choices = [(name, name) for name in names]

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = self.cleaned_data
        for name in ("payload", "input"):
            if found.get(name) is not None and not isinstance(found[name], dict):
                self.add_error(name, _("Write names and values, for example vendor: Hooli"))
        return found

    @property
    def asked(self) -> AskedCall:
        chosen = self.cleaned_data
        return AskedCall(
            action=chosen["action"],
            payload=chosen["payload"] or {},
            input=chosen["input"] or {},
            accepts_effects=chosen["accepts_effects"],
        )


def _calling(_admin: Any, form: TestCallForm) -> Effects:
    """Return what is sent where."""
    integration: Integration = form.row
    call = prepared_call(integration, form.asked, ctx=form.ctx)
    if call.is_simulated:
        said = [_("Simulated: nothing is sent. The document of the integration contains the answer.")]
    else:
        said = [_("A real request is sent now, with the real secrets of the integration.")]
    if call.has_effects:
        said.append(_("It may change something at the receiver, and cannot be undone here."))
    return Effects(said, request=as_yaml(call.request))


SEND: Final = FormConfirmation(_calling)
