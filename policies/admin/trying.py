"""Console pages to simulate, replay and shadow a policy version. They change no rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any, Final

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.functional import partition
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from policies import selectors
from policies.api.resources.trials import SIMULATION
from policies.deciding.explanation import people_sentence
from policies.models import PolicyVersion
from policies.replay.candidate import candidate_version
from policies.replay.request import Against, ReplayRequest, request_replay
from policies.replay.shadows import start_shadow
from policies.replay.simulate import Simulation, simulate
from telemetry.receipts.format import Subject
from threada_site.admin import html
from threada_site.admin.actions import Call, Done, Handler, carry_out, sentences
from threada_site.admin.confirmation import Effects, confirmation_page, is_confirmed, with_reason
from threada_site.admin.documents import as_yaml, one_document
from threada_site.admin.forms import ConsoleForm, DocumentArea
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext, Scope
from threada_site.kernel.errors import ThreadaError

_DAYS: Final = 30


class SimulateForm(ConsoleForm):
    intro = gettext_lazy(
        "Evaluates one case as if this version were in force, together with every other policy that applies. Nothing "
        "is stored."
    )
    facts = forms.CharField(label=gettext_lazy("Facts (YAML or JSON)"), strip=False, widget=DocumentArea(rows=14))

    def prepare(self) -> None:
        workflow = selectors.workflows(self.ctx).order_by("slug").values_list("slug", flat=True).first()
        example = {
            "item": {"workflow": workflow or "my_workflow", "channel": "", "payload": {}, "confidence": 1.0},
            "ctx": {"action": ""},
        }
        self.initial = {"facts": as_yaml(example)}


class ReplayForm(ConsoleForm):
    intro = gettext_lazy(
        "A job evaluates recorded decisions again with this version of the policy, on the recorded facts. Nothing is "
        "enforced and nobody is notified."
    )
    after = forms.DateField(
        label=gettext_lazy("From day (UTC)"), widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    before = forms.DateField(
        label=gettext_lazy("To day (UTC), included"), widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )
    against = forms.ChoiceField(
        label=gettext_lazy("Compare with"),
        choices=[
            (Against.IN_FORCE.value, gettext_lazy("the version in force, on the same facts")),
            (Against.RECORDED.value, gettext_lazy("the recorded decisions")),
        ],
    )

    def prepare(self) -> None:
        today = datetime.now(UTC).date()
        self.initial = {"after": today - timedelta(days=_DAYS), "before": today, "against": Against.IN_FORCE.value}


class ShadowForm(ConsoleForm):
    intro = gettext_lazy(
        "Compares every live decision of this policy with the answer of this version, after the fact. Nothing is "
        "enforced and no decision is delayed. The shadow ends automatically."
    )
    last_day = forms.DateField(
        label=gettext_lazy("Last day (UTC)"), widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d")
    )

    def prepare(self) -> None:
        self.initial = {"last_day": datetime.now(UTC).date() + timedelta(days=7)}

    def clean_last_day(self) -> date:
        day: date = self.cleaned_data["last_day"]
        if day < datetime.now(UTC).date():
            raise forms.ValidationError(_("Choose today or a later day."))
        return day


class TryingPages:
    """Mixin of the admin of policy versions."""

    def get_urls(self) -> list[URLPattern]:
        own: Any = self
        name = "policies_policyversion"
        return [
            path("<str:key>/simulate/", own._own(self._page(SimulateForm, self._simulate)), name=f"{name}_simulate"),
            path("<str:key>/replay/", own._own(self._page(ReplayForm, self._replay)), name=f"{name}_replay"),
            path("<str:key>/shadow/", own._own(self._page(ShadowForm, self._shadow)), name=f"{name}_shadow"),
            *super().get_urls(),  # type: ignore[misc]
        ]

    def _page(
        self, form_class: type[ConsoleForm], answer: Callable[[Call, ConsoleForm], Done]
    ) -> Callable[..., HttpResponse]:
        admin: Any = self

        @require_http_methods(["GET", "HEAD", "POST"])
        def view(request: HttpRequest, key: str) -> HttpResponse:
            ctx: ActingContext = request.acting_context  # type: ignore[attr-defined]
            if not ctx.has_scope_anywhere(Scope.POLICIES_WRITE):
                raise PermissionDenied
            is_sent = request.method == "POST"
            with unit_of_work(ctx.tenant_id, actor=ctx):
                row: PolicyVersion = admin.find(key, ctx=ctx)
                form = form_class(request.POST if is_sent else None, ctx=ctx, row=row)
                is_valid = is_sent and form.is_valid()
            call = Call(request, ctx, key, Subject(policy_version_id=row.id, status=row.status))
            handler: Handler = partial(_answered, answer, form)
            if is_valid and isinstance(form, ShadowForm):
                if not is_confirmed(call):
                    with unit_of_work(ctx.tenant_id, actor=ctx):
                        effects, back = _starting_shadow(form), admin.url_of(row)
                        return confirmation_page(admin, call, _SUBMITS[form_class], effects, back=back)
                handler = with_reason(lambda _call: _starting_shadow(form), handler)
            outcome = carry_out(call, Scope.POLICIES_WRITE, handler) if is_valid else None
            if isinstance(outcome, Done) and outcome.url is not None:
                return HttpResponseRedirect(outcome.url)
            shown = outcome.shows if isinstance(outcome, Done) else None
            messages = sentences(outcome) if isinstance(outcome, ThreadaError) else []
            with unit_of_work(ctx.tenant_id, actor=ctx):
                context = {
                    **admin.admin_site.each_context(request),
                    "title": _TITLES[form_class],
                    "submit": _SUBMITS[form_class],
                    "form": form,
                    "problems": messages,
                    "row": row,
                    "list_title": f"policy {row.policy.slug}",
                    "list_url": html.page_url("policies.policy", row.policy.slug),
                    "row_url": admin.url_of(row),
                    "row_title": admin.page_title(row),
                    **(shown or {}),
                }
                page = render_to_string("policies/trying.html", context, request)
            return HttpResponse(page, status=422 if is_sent and shown is None else 200)

        return view

    def _simulate(self, call: Call, form: ConsoleForm) -> Done:
        document = one_document(form.cleaned_data["facts"])
        return Done("", shows=simulation_context(simulate(candidate_version(form.row), document.value, ctx=call.ctx)))

    def _replay(self, call: Call, form: ConsoleForm) -> Done:
        chosen = form.cleaned_data
        request = ReplayRequest(
            created_after=_midnight(chosen["after"]),
            created_before=_midnight(chosen["before"] + timedelta(days=1)),
            against=Against(chosen["against"]),
        )
        replay = request_replay(form.row, request, ctx=call.ctx)
        return Done("", html.page_url("policies.policyreplay", replay.public_id))

    def _shadow(self, call: Call, form: ConsoleForm) -> Done:
        ends_at = _midnight(form.cleaned_data["last_day"] + timedelta(days=1))
        shadow = start_shadow(form.row, ends_at=ends_at, ctx=call.ctx)
        return Done("", html.page_url("policies.policyshadow", shadow.public_id))


def _answered(answer: Callable[[Call, ConsoleForm], Done], form: ConsoleForm, call: Call) -> Done:
    return answer(call, form)


def _starting_shadow(form: ShadowForm) -> Effects:
    version: PolicyVersion = form.row
    return Effects(
        [
            _("%(version)s is compared with every live decision of the policy, until the end of %(day)s (UTC).")
            % {"version": version, "day": form.cleaned_data["last_day"].isoformat()},
            _("No decision changes. The shadow takes processor time of the workers."),
        ]
    )


_TITLES: Final = {
    SimulateForm: gettext_lazy("Simulate one case"),
    ReplayForm: gettext_lazy("Replay recorded decisions"),
    ShadowForm: gettext_lazy("Compare with live decisions"),
}
_SUBMITS: Final = {
    SimulateForm: gettext_lazy("Simulate"),
    ReplayForm: gettext_lazy("Start replay"),
    ShadowForm: gettext_lazy("Start shadow"),
}


def simulation_context(simulation: Simulation) -> dict[str, Any]:
    """Return the template context of `policies/parts/simulation.html`."""
    result = SIMULATION.represent(simulation)
    return {
        "simulation": result,
        "asked_of_people": people_sentence(result["approvals"]),
        "rules": _rules(result["trace"]),
        "facts": simulation.facts,
    }


def _rules(trace: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Return policy, rule, scope and result of every evaluated rule; rules that did not match come last."""
    found = []
    for entry in trace:
        for rule in entry["looked_at"]:
            if rule in entry["failed"]:
                said = "failed"
            elif rule in entry["overridden"]:
                said = "overridden"
            else:
                said = "matched" if rule in entry["matched"] else _("did not match")
            found.append((entry["policy"], rule, entry["scope"], said))
    idle, telling = partition(lambda row: row[3] != _("did not match"), found)
    return [*telling, *idle]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
