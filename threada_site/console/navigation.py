"""Sidebar: links by the permissions of the reader."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin.words import Text
from threada_site.console.menus import daily_pages
from threada_site.identity.stewardship import is_steward
from threada_site.kernel.context import ActingContext, Scope
from workitems.portal.pages import is_requester_only

_READ: Final = Scope.WORKITEMS_READ
_GROUPS: Final = (
    (
        gettext_lazy("Requests"),
        (
            (gettext_lazy("Make a request"), "assignment", "catalogue", Scope.WORKITEMS_WRITE),
            (gettext_lazy("My requests"), "outbox", "own_requests", Scope.WORKITEMS_WRITE),
        ),
    ),
    (
        gettext_lazy("Work"),
        (
            (gettext_lazy("Decision desk"), "how_to_vote", "workitems_decisionstep_desk", Scope.DECISIONS_DECIDE),
            (gettext_lazy("Queue"), "inbox", "workitems_workitem", _READ),
            (gettext_lazy("Decisions"), "checklist", "workitems_decisionstep", _READ),
            (gettext_lazy("Permits"), "confirmation_number", "workitems_permit", _READ),
            (gettext_lazy("Executions"), "play_circle", "integrations_execution", _READ),
            (gettext_lazy("Out of office"), "event_busy", "workitems_delegation", _READ),
        ),
    ),
    (
        gettext_lazy("Rules"),
        (
            (gettext_lazy("Policies"), "gavel", "policies_policy", _READ),
            (gettext_lazy("Replays"), "history", "policies_policyreplay", _READ),
            (gettext_lazy("Shadows"), "compare", "policies_policyshadow", _READ),
            (gettext_lazy("Overlays"), "layers", "policies_overlay", _READ),
            (gettext_lazy("Packs"), "inventory_2", "policies_pack", _READ),
            (gettext_lazy("Workflows"), "account_tree", "policies_workflow", _READ),
            (gettext_lazy("Channels"), "alt_route", "policies_channel", _READ),
            (gettext_lazy("Lists"), "list_alt", "policies_list", _READ),
        ),
    ),
    (
        gettext_lazy("Systems"),
        (
            (gettext_lazy("Operations"), "monitor_heart", "integrations_execution_operations", _READ),
            (gettext_lazy("Integrations"), "hub", "integrations_integration", _READ),
            (gettext_lazy("Freezes"), "ac_unit", "integrations_freeze", _READ),
            (gettext_lazy("Secrets"), "password", "integrations_storedsecret", Scope.INTEGRATIONS_MANAGE),
            (gettext_lazy("Usage"), "data_usage", "usage", (Scope.TELEMETRY_READ, Scope.WORKFLOW_MANAGE)),
        ),
    ),
    (
        gettext_lazy("Evidence"),
        (
            (gettext_lazy("Reports"), "monitoring", "summary", Scope.TELEMETRY_READ),
            (gettext_lazy("Receipts"), "receipt_long", "telemetry_receipt", Scope.TELEMETRY_READ),
            (gettext_lazy("Checkpoints"), "verified", "telemetry_checkpoint", Scope.TELEMETRY_READ),
            (gettext_lazy("Instance log"), "fact_check", "telemetry_checkpoint_instance", Scope.TELEMETRY_READ),
            (gettext_lazy("Exports"), "download", "telemetry_telemetryexport", Scope.TELEMETRY_READ),
            (gettext_lazy("Proofs"), "rule", "workitems_proofrun", (Scope.TELEMETRY_READ, Scope.WORKFLOW_MANAGE)),
            (
                gettext_lazy("Access review"),
                "how_to_reg",
                "tenancy_accessholder",
                (Scope.TELEMETRY_READ, Scope.WORKFLOW_MANAGE),
            ),
            (gettext_lazy("Deliveries"), "outbound", "telemetry_delivery", Scope.TELEMETRY_READ),
            (gettext_lazy("Messages"), "mail", "workitems_noticemessage", Scope.TELEMETRY_READ),
            (
                gettext_lazy("Decision statistics"),
                "visibility",
                "workitems_decisionstep_decision_statistics",
                (Scope.TELEMETRY_READ, Scope.WORKFLOW_MANAGE),
            ),
            (gettext_lazy("Retention"), "auto_delete", "workitems_retentionrun", Scope.TELEMETRY_READ),
            (gettext_lazy("Legal holds"), "lock_clock", "workitems_legalhold", Scope.TELEMETRY_READ),
            (gettext_lazy("Tenant deletion"), "delete_forever", "tenancy_tenantdeletion", Scope.WORKFLOW_MANAGE),
        ),
    ),
    (
        gettext_lazy("Access"),
        (
            (gettext_lazy("Agents and services"), "smart_toy", "tenancy_agent", _READ),
            (gettext_lazy("Members"), "group", "tenancy_membership", _READ),
            (gettext_lazy("Groups"), "groups", "tenancy_peoplegroup", _READ),
            (gettext_lazy("Roles"), "badge", "tenancy_role", _READ),
            (gettext_lazy("Invitations"), "forward_to_inbox", "tenancy_accountlink", Scope.WORKFLOW_MANAGE),
            (gettext_lazy("Credentials"), "key", "tenancy_credential", _READ),
            (gettext_lazy("Personal tokens"), "vpn_key", "tenancy_personaltoken", _READ),
            (gettext_lazy("Identity providers"), "login", "tenancy_identityprovider", Scope.WORKFLOW_MANAGE),
            (gettext_lazy("Trusted issuers"), "verified_user", "tenancy_trustedissuer", Scope.WORKFLOW_MANAGE),
            (gettext_lazy("Four-eyes rules"), "supervisor_account", "tenancy_foureyesrule", _READ),
            (gettext_lazy("Change sets"), "difference", "tenancy_changeset", _READ),
        ),
    ),
)
_PAGES: Final = (
    "catalogue",
    "own_requests",
    "integrations_execution_operations",
    "workitems_decisionstep_desk",
    "workitems_decisionstep_decision_statistics",
    "telemetry_checkpoint_instance",
    "summary",
    "usage",
)
"""Names of links that open a page instead of a list."""
_FOR_STEWARDS: Final = ("tenancy_identityprovider", "tenancy_trustedissuer", "tenancy_tenantdeletion")
_SETTINGS: Final = {"telemetry_checkpoint_instance": "THREADA_INSTANCE_LOG"}
"""Links to optional parts, and the setting that turns each on."""
_ALSO: Final = {"policies_policy": ("policies/policyversion/", "policies/policydecision/")}


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links for unfold: the pages that the reader uses daily, and one link to all others."""
    ctx = getattr(request, "acting_context", None)
    if ctx is None:
        return []
    daily = daily_pages(ctx)
    shown: list[dict[str, Any]] = []
    hidden: list[dict[str, Any]] = []
    for group in groups(request):
        items = [item for item in group["items"] if item["page"] in daily or not item["page"]]
        hidden += [item for item in group["items"] if item not in items]
        if items:
            shown.append({**group, "items": items})
    if hidden:
        address = reverse("admin:more")
        is_active = request.path == address or any(item["active"] for item in hidden)
        more = {"title": _("More"), "icon": "apps", "link": address, "active": is_active, "page": ""}
        shown.append({"title": None, "separator": False, "items": [more]})
    return shown


def groups(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the groups of links to all pages that the reader may see."""
    ctx = getattr(request, "acting_context", None)
    if ctx is None:
        return []
    only_requests = is_requester_only(ctx)
    name = _("Requests") if only_requests else _("Dashboard")
    home = {"title": name, "icon": "dashboard", "link": reverse("admin:index"), "page": ""}
    shown: list[dict[str, Any]] = [{"title": None, "separator": False, "items": [home]}]
    of_requesters = ((None, _GROUPS[0][1][1:]),)  # the first page is the catalogue
    for title, links in of_requesters if only_requests else _GROUPS:
        items = [_item(request, *link[:3]) for link in links if _may(ctx, *link[2:4]) and _is_on(link[2])]
        if items:
            shown.append({"title": title, "separator": False, "items": items})
    return shown


def _may(ctx: ActingContext, page: str, scope: Scope | tuple[Scope, ...]) -> bool:
    """Return True if one of the scopes of a link is held anywhere."""
    if page in _FOR_STEWARDS and not is_steward(ctx):
        return False
    return any(ctx.has_scope_anywhere(one) for one in (scope if isinstance(scope, tuple) else (scope,)))


def _is_on(page: str) -> bool:
    """Return True unless the page belongs to an optional part that is turned off."""
    return page not in _SETTINGS or getattr(settings, _SETTINGS[page])


def _item(request: HttpRequest, title: Text, icon: str, model: str) -> dict[str, Any]:
    address = reverse(f"admin:{model}" if model in _PAGES else f"admin:{model}_changelist")
    below = (address, *(reverse("admin:index") + path for path in _ALSO.get(model, ())))
    is_active = request.path.startswith(below) and not request.path.startswith(_elsewhere(model))
    return {"title": title, "icon": icon, "link": address, "active": is_active, "page": model}


def _elsewhere(model: str) -> tuple[str, ...]:
    """Return the URLs below a list that have their own link."""
    return tuple(reverse(f"admin:{page}") for page in _PAGES if page.startswith(f"{model}_"))
