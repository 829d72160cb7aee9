"""Form of a decision step on which an approver changes the input or the payload."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import orjson
from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import CodeArea, ConsoleForm, form_page
from threada_site.kernel import errors, ids
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.strict import parse_json
from workitems.api.shapes import AMEND_STEP
from workitems.executions.amend_input import Amendment, amend_input, approvers_after_amendment
from workitems.items.locks import locked_step
from workitems.items.receipts import subject_of
from workitems.items.sensitive import record_reading
from workitems.models import DecisionStep

_MOST_NAMES: Final = 10


class AmendmentForm(ConsoleForm):
    """Current input and payload as JSON."""

    row: DecisionStep
    envelope_sha256 = forms.CharField(widget=forms.HiddenInput)
    input = forms.CharField(
        label=gettext_lazy("Input of the action, a JSON object"), widget=CodeArea(8), required=False, strip=True
    )
    payload = forms.CharField(
        label=gettext_lazy("Payload, a JSON object"), widget=CodeArea(16), required=False, strip=True
    )

    def prepare(self) -> None:
        step = self.row
        record_reading(step.work_item, ctx=self.ctx)
        self.intro = self._consequences()
        self.fields["envelope_sha256"].initial = step.envelope_sha256
        self.fields["payload"].initial = _as_text(step.work_item.payload)
        if step.execution is None:
            del self.fields["input"]
        else:
            self.fields["input"].initial = _as_text(step.execution.input)

    def _consequences(self) -> str:
        """Return sentences about the effect of a change, with the people who can decide afterwards."""
        people = approvers_after_amendment(self.row.work_item, self.row, ctx=self.ctx)
        if not people:
            return _(
                "You cannot change this request: the rule excludes the person who edited it last, and too few others "
                "could decide afterwards."
            )
        names = ", ".join(one.display_name or one.username for one in people[:_MOST_NAMES])
        if len(people) > _MOST_NAMES:
            names = _("{names} and {count} more").format(names=names, count=len(people) - _MOST_NAMES)
        effect = _(
            "This form approves nothing. It clears the votes cast so far, and the policies are evaluated again. "
            "Afterwards these people can decide: {names}."
        ).format(names=names)
        if any(one.id == self.ctx.principal_id for one in people):
            return effect
        return f"{effect} {_('You cannot: the rule excludes the person who edited the request last.')}"


class AmendmentPages:
    """Form page for changing a decision step; mixed into the admin of decision steps."""

    url_of: ClassVar[Any]

    @form_page(
        gettext_lazy("Approve with changes"),
        form=AmendmentForm,
        scope=Scope.DECISIONS_DECIDE,
        submit=gettext_lazy("Change the request"),
        of_row=True,
    )
    def change_input(self, call: Call, form: ConsoleForm) -> Done:
        parsed = ids.parse_public_id(ids.DECISION_STEP, call.key)
        if parsed is None:
            raise errors.NotFound
        item, step = locked_step(parsed, ctx=call.ctx)
        call.subject = subject_of(item)
        sent = {name: _parsed(form.cleaned_data, name) for name in ("input", "payload") if form.cleaned_data.get(name)}
        body = AMEND_STEP.check({"envelope_sha256": form.cleaned_data["envelope_sha256"], **sent})
        changed = amend_input(item, step, Amendment(**body), ctx=call.ctx)
        count = len(changed.difference.changes) + changed.difference.omitted
        places = "1 place" if count == 1 else f"{count} places"
        if call.ctx.principal_id in changed.approvers:
            done = _("The envelope has changed in {places}. Read it below. You may vote on it.")
        else:
            done = _("The envelope has changed in {places}. Other people decide about it now.")
        return Done(done.format(places=places), self.url_of(changed.step))


def _as_text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _parsed(fields: dict[str, Any], name: str) -> Any:
    try:
        return parse_json(fields[name].encode())
    except (errors.MalformedJson, errors.JsonNotInteroperable) as error:
        raise errors.InvalidRequest(error.detail, errors=[FieldError(f"/{name}", "is not JSON", "malformed")]) from None
