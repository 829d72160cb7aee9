"""Console pages of proofs: stored results, their findings, and the button that runs one."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.confirmation import Effects, FormConfirmation
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.model_admin import TenantAdmin
from threada_site.identity.stewardship import is_steward_or_auditor
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User
from workitems.models import ProofRun
from workitems.proof.models import ProofStatus
from workitems.proof.results import Result
from workitems.proof.stored_runs import proof_runs, request_proof

_PROMISES: Final[dict[str, Promise]] = {
    "people_are_asked": gettext_lazy("People decide before the action runs"),
    "requester_cannot_approve": gettext_lazy("Nobody approves an own request"),
    "agent_cannot_approve": gettext_lazy("Neither an agent nor its owner approves the agent's request"),
    "one_approver_is_not_enough": gettext_lazy("Where several people are required, nobody approves alone"),
    "expired_step_does_not_act": gettext_lazy("An expired step does not act"),
    "changed_envelope_is_refused": gettext_lazy("A changed envelope is refused"),
    "frozen_integration_is_not_called": gettext_lazy("A frozen integration is not called"),
    "every_rule_matches": gettext_lazy("Every rule decides some case"),
}
_STATES: Final = {Result.PASS: "passed", Result.FAIL: "failed", Result.NOT_APPLICABLE: "not applicable"}
_MOST_FINDINGS: Final = 40


def _effects(_page: Any, _form: Any) -> Effects:
    return Effects(
        [
            _("A worker runs the checks with synthetic cases and people. Each is rolled back, and nothing is sent."),
            _("Rows of this tenant may be locked for up to a second at a time."),
        ]
    )


class RunForm(ConsoleForm):
    """Form without fields: its page asks for confirmation."""


@admin.register(ProofRun)
class ProofRunAdmin(TenantAdmin):
    heading = gettext_lazy("Proofs")
    id_prefix = ids.PROOF
    key = "-id"
    columns = (
        Column(gettext_lazy("Proof"), lambda row: html.code(row.public_id)),
        Column(gettext_lazy("Result"), lambda row: html.badge(row.status)),
        Column(gettext_lazy("Ended"), lambda row: html.when(row.finished_at) or html.NOTHING),
        Column(gettext_lazy("Requested by"), lambda row: row.requester),
    )
    about = gettext_lazy(
        "Checks of the product's promises against this tenant's rules, roles and people: no single person moves money, "
        "no frozen integration is called. The last ten are kept."
    )
    nothing_yet = gettext_lazy("No proof was run yet.")
    page_template = "workitems/proof.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return True for stewards and auditors."""
        ctx: ActingContext | None = getattr(request, "acting_context", None)
        return ctx is not None and is_steward_or_auditor(ctx)

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        return proof_runs(ctx).defer("document")

    def complete(self, rows: list[Any], *, ctx: ActingContext) -> None:
        """Add the name of the requester to each row."""
        names = dict(User.objects.filter(id__in=[row.requested_by for row in rows]).values_list("id", "username"))
        for row in rows:
            row.requester = names.get(row.requested_by, "") if row.requested_by else _("the operator")

    def get_urls(self) -> list[URLPattern]:
        findings = path(
            "<str:key>/findings.json", self._wrap(require_safe(self.findings_view)), name="workitems_proofrun_findings"
        )
        return [findings, *super().get_urls()]

    def findings_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """Answer with the findings as JSON, as `manage.py prove --json` prints them."""
        row = self.find(key, ctx=self._require_view(request))
        if row.document is None:
            raise Http404("The proof has no result.")
        return JsonResponse(row.document, json_dumps_params={"indent": 2, "ensure_ascii": False})

    def page(self, row: ProofRun, *, ctx: ActingContext) -> dict[str, Any]:
        self.complete([row], ctx=ctx)
        return {
            "checks": [_check(check) for check in (row.document or {}).get("checks", ())],
            "is_waiting": row.is_open,
            "is_broken": row.status == ProofStatus.BROKEN,
        }

    @form_page(
        gettext_lazy("Run proof"),
        form=RunForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Run proof"),
        confirm=FormConfirmation(_effects),
    )
    def new(self, call: Call, form: RunForm) -> Done:
        run = request_proof(ctx=call.ctx)
        return Done(_("The proof is queued. Its page shows the result."), self.url_of(run))


def _check(check: dict[str, Any]) -> dict[str, Any]:
    """Return a check as the page shows it: failures first, then what does not apply."""
    order = [Result.FAIL, Result.NOT_APPLICABLE, Result.PASS]
    findings = sorted(check["findings"], key=lambda finding: order.index(Result(finding["result"])))
    return {
        "promise": _PROMISES.get(check["check"], check["check"]),
        "state": _STATES[Result(check["result"])],
        "is_open": check["result"] == Result.FAIL,
        "findings": [(_STATES[Result(one["result"])], one["text"], one["case"]) for one in findings[:_MOST_FINDINGS]],
        "more": max(len(findings) - _MOST_FINDINGS, 0),
        "number": len(findings),
    }
