"""Site of the console: sign-in, common page context, and pages that belong to no model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe
from django.views.generic import RedirectView
from unfold.sites import UnfoldAdminSite

from policies.selectors import unconfirmed_emergencies
from threada_site.admin.actions import OWN_UNIT_OF_WORK
from threada_site.admin.background import pulse_of
from threada_site.admin.model_admin import TenantAdmin
from threada_site.admin.usage import usage_page
from threada_site.console.account_links import invitation_page, new_password_page, reset_page
from threada_site.console.dashboards.dashboard import dashboard
from threada_site.console.editors.documents import check, complete
from threada_site.console.entries import kept_entries, page_sent_from
from threada_site.console.factors.page import second_factors_page
from threada_site.console.factors.second_step import confirm_page, second_step_page
from threada_site.console.first_steps.hiding import hide_view
from threada_site.console.first_steps.steps import first_steps
from threada_site.console.leaving import leaving_page
from threada_site.console.mail_address import confirm_address_page, mail_address_page
from threada_site.console.navigation import groups
from threada_site.console.notifications import notifications_page
from threada_site.console.palette.views import find_page, suggest
from threada_site.console.passkeys.registration import has_passkeys_here
from threada_site.console.passkeys.urls import passkey_urls
from threada_site.console.password import password_page
from threada_site.console.pulse import PULSE, pulse_view
from threada_site.console.reports.summary import may_see, summary_page
from threada_site.console.security_history import security_history_page
from threada_site.console.service_worker import service_worker
from threada_site.console.sessions import sessions_page
from threada_site.console.signing_in import SignInForm, sign_in
from threada_site.console.tenant_choice import CHOOSE_TENANT, choose_tenant
from threada_site.console.time_zone import time_zone_page
from threada_site.identity.sign_in.onward import onward_of
from threada_site.identity.stewardship import is_steward
from threada_site.kernel.context import Scope
from threada_site.sign_in.discovery import company_page
from threada_site.sign_in.in_session import start_step_up
from threada_site.sign_in.methods_page import methods_page
from threada_site.sign_in.starting import CONSOLE
from threada_site.sign_in.views import (
    finish_sign_in,
    provider_links,
    providers_page,
    service_provider_metadata,
    start_sign_in,
)
from workitems.portal.pages import home_context
from workitems.portal.urls import portal_urls
from workitems.retention.tenant_deletion import pending_deletion

EMERGENCIES_SHOWN: Final = 5


class ConsoleSite(UnfoldAdminSite):
    """Django's admin with unfold, inside one tenant."""

    login_form = SignInForm
    login_template = "console/login.html"
    index_title = gettext_lazy("Dashboard")
    enable_nav_sidebar = True

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Register tenant-aware pages only. Pages of installed packages would show rows of all tenants."""
        if admin_class is not None and issubclass(admin_class, TenantAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        """Return True if a person is signed in to a tenant."""
        return getattr(request, "acting_context", None) is not None

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        """Return the view for people who are signed in. Others go on to the page of the form that they sent."""
        checked: Any = super().admin_view(view, cacheable)

        @wraps(checked)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method == "POST" and not self.has_permission(request) and (page := page_sent_from(request)):
                return redirect_to_login(page, reverse("admin:login"))
            response: HttpResponse = checked(request, *args, **kwargs)
            return response

        return inner

    def get_urls(self) -> list[URLResolver | URLPattern]:
        dropped = {"search", "autocomplete", "view_on_site"}
        own = [
            path("tenant/", choose_tenant, name=CHOOSE_TENANT),
            path("summary/", self.admin_view(require_safe(self.summary)), name="summary"),
            path("usage/", self.admin_view(require_safe(self.usage)), name="usage"),
            path("service-worker.js", require_safe(service_worker), name="service_worker"),
            path("more/", self.admin_view(require_safe(self.more)), name="more"),
            path("time-zone/", self.admin_view(self.time_zone), name="time_zone"),
            path("notifications/", self.admin_view(self.notifications), name="notifications"),
            path("company-sign-in/", self.company_sign_in, name="company_sign_in"),
            path("login/<str:tenant>/", self.tenant_sign_in, name="tenant_sign_in"),
            path("login/<str:tenant>/<str:provider>", self.provider_sign_in, name="provider_sign_in"),
            path("login/<str:tenant>/<str:provider>/callback", self.provider_callback, name="provider_callback"),
            path("login/<str:tenant>/<str:provider>/metadata", self.provider_metadata, name="provider_metadata"),
            path("invitations/<str:token>/", self.invitation, name="invitation"),
            path("password-reset/", self.password_reset, name="password_reset"),
            path("password-reset/<str:token>/", self.password_reset_link, name="password_reset_link"),
            path("mail-address/", self.admin_view(self.mail_address), name="mail_address"),
            path("mail-address/<str:token>/", self.mail_address_link, name="mail_address_link"),
            path("leave/", self.admin_view(self.leave), name="leave"),
            *passkey_urls(self),
            *portal_urls(self),
            path("step-up/provider", self.admin_view(self.provider_step_up), name="provider_step_up"),
            path("sign-in-methods/", self.admin_view(self.sign_in_methods), name="sign_in_methods"),
            path("second-step/", self.second_step, name="second_step"),
            path("second-factors/", self.admin_view(self.second_factors), name="second_factors"),
            path("second-factors/confirm/", self.admin_view(self.confirm), name="second_factor_confirm"),
            path("sessions/", self.admin_view(self.sessions), name="sessions"),
            path("security-history/", self.admin_view(require_safe(self.security_history)), name="security_history"),
            path(
                "security-history/<str:key>/",
                self.admin_view(require_safe(self.security_history)),
                name="security_history_of",
            ),
            path("agents/", RedirectView.as_view(pattern_name="admin:tenancy_agent_changelist")),
            path("agents/<str:key>/", RedirectView.as_view(pattern_name="admin:tenancy_agent_change")),
            path("pulse", require_safe(pulse_view), name=PULSE),
            path("first-steps/hide/", self.admin_view(hide_view), name="hide_first_steps"),
            path("find/", self.admin_view(require_safe(self.find)), name="find"),
            path(
                "documents/complete/", self.admin_view(require_POST(self.complete_document)), name="complete_document"
            ),
            path("documents/check/", self.admin_view(require_POST(self.check_document)), name="check_document"),
            path("find/suggest/", self.admin_view(require_safe(suggest)), name="find_suggest"),
        ]
        return [*own, *(url for url in super().get_urls() if getattr(url, "name", None) not in dropped)]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show and handle the sign-in form."""
        onward = onward_of(request)
        links = {
            "has_passkeys_here": has_passkeys_here(request),
            "provider_links": provider_links(request.GET.get("tenant", "")),
            "onward": "" if onward == CONSOLE else onward,
            **(extra_context or {}),
        }
        show: Callable[[], HttpResponse] = partial(super().login, request, links)
        return sign_in(request, show) if request.method == "POST" else show()

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the context of every page, for publishers with unconfirmed emergency publications."""
        ctx = getattr(request, "acting_context", None)
        may_settle = ctx is not None and ctx.allows(Scope.POLICIES_PUBLISH)
        emergencies = list(unconfirmed_emergencies(ctx)[:EMERGENCIES_SHOWN]) if ctx is not None and may_settle else []
        return {**super().each_context(request), "emergencies": emergencies, "kept_entries": kept_entries(request)}

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        ctx = request.acting_context  # type: ignore[attr-defined]
        home = home_context(ctx)
        context = {**self.each_context(request), **home, "title": self.index_title, **(extra_context or {})}
        if home["requests_only"]:
            return TemplateResponse(request, "workitems/portal/home.html", {**context, "title": _("Requests")})
        context |= {**dashboard(ctx), "pulse": pulse_of("dashboard"), "first_steps": first_steps(ctx)}
        context["tenant_deletion"] = pending_deletion(ctx=ctx) if is_steward(ctx) else None
        return TemplateResponse(request, "console/dashboard.html", context)

    def summary(self, request: HttpRequest) -> TemplateResponse:
        """Page of reports on governed work."""
        ctx = request.acting_context  # type: ignore[attr-defined]
        if not may_see(ctx):
            raise PermissionDenied
        context = {**self.each_context(request), "title": _("Reports"), **summary_page(request, ctx)}
        return TemplateResponse(request, "console/summary.html", context)

    def more(self, request: HttpRequest) -> TemplateResponse:
        """Page with links to all pages that the reader may see."""
        context = {
            **self.each_context(request),
            "title": _("All pages"),
            "groups": [(group["title"], group["items"]) for group in groups(request)],
        }
        return TemplateResponse(request, "console/more.html", context)

    def usage(self, request: HttpRequest) -> TemplateResponse:
        """Page of the tenant's quotas and what it uses of them."""
        return usage_page(request, self.each_context(request))

    def security_history(self, request: HttpRequest, key: str | None = None) -> TemplateResponse:
        """Show the security history of a principal, or one's own."""
        return security_history_page(request, key, self.each_context(request))

    def second_step(self, request: HttpRequest) -> HttpResponse:
        """Show and handle the second step of a sign-in."""
        return second_step_page(request, self.each_context(request))

    def confirm(self, request: HttpRequest) -> HttpResponse:
        """Ask for a second factor in an open session."""
        return confirm_page(request, self.each_context(request))

    confirm.__dict__[OWN_UNIT_OF_WORK] = True

    def second_factors(self, request: HttpRequest) -> HttpResponse:
        """Show the reader's second factors, and enrol or remove some."""
        return second_factors_page(request, self.each_context(request))

    second_factors.__dict__[OWN_UNIT_OF_WORK] = True

    def sessions(self, request: HttpRequest) -> HttpResponse:
        """Show the reader's open sessions, and end some of them."""
        return sessions_page(request, self.each_context(request))

    sessions.__dict__[OWN_UNIT_OF_WORK] = True

    def mail_address(self, request: HttpRequest) -> HttpResponse:
        """Show and handle the form of the reader's mail address."""
        return mail_address_page(request, self.each_context(request))

    mail_address.__dict__[OWN_UNIT_OF_WORK] = True

    def mail_address_link(self, request: HttpRequest, token: str) -> HttpResponse:
        """Show and handle the public page that confirms a new mail address."""
        return confirm_address_page(request, token, self.each_context(request))

    def leave(self, request: HttpRequest) -> HttpResponse:
        """Show and handle the form by which the reader leaves the tenant."""
        return leaving_page(request, self.each_context(request))

    leave.__dict__[OWN_UNIT_OF_WORK] = True

    def find(self, request: HttpRequest) -> HttpResponse:
        """Show the page of what matches `q`."""
        return find_page(request, self.each_context(request))

    def complete_document(self, request: HttpRequest) -> HttpResponse:
        """Complete a word in a document that is being edited."""
        return complete(request, request.acting_context)  # type: ignore[attr-defined]

    def check_document(self, request: HttpRequest) -> HttpResponse:
        """Check a document that is being edited. Saves nothing."""
        return check(request, request.acting_context)  # type: ignore[attr-defined]

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show and handle the password form."""
        return password_page(request, self.each_context(request))

    password_change.__dict__[OWN_UNIT_OF_WORK] = True

    def invitation(self, request: HttpRequest, token: str) -> HttpResponse:
        """Show and handle the public page of an invitation."""
        return invitation_page(request, token, self.each_context(request))

    def password_reset(self, request: HttpRequest) -> HttpResponse:
        """Show and handle the public form that asks for a reset link."""
        return reset_page(request, self.each_context(request))

    def password_reset_link(self, request: HttpRequest, token: str) -> HttpResponse:
        """Show and handle the public page of a reset link."""
        return new_password_page(request, token, self.each_context(request))

    def company_sign_in(self, request: HttpRequest) -> HttpResponse:
        """Find the identity provider of a company by mail domain."""
        return company_page(request, self.each_context(request))

    def tenant_sign_in(self, request: HttpRequest, tenant: str) -> HttpResponse:
        """Show the public page of a tenant's identity providers."""
        return providers_page(request, tenant, self.each_context(request))

    def provider_sign_in(self, request: HttpRequest, tenant: str, provider: str) -> HttpResponse:
        """Redirect to an identity provider."""
        return start_sign_in(request, tenant, provider, self.each_context(request))

    def provider_callback(self, request: HttpRequest, tenant: str, provider: str) -> HttpResponse:
        """Handle the answer of an identity provider."""
        return finish_sign_in(request, tenant, provider, self.each_context(request))

    # A SAML provider lets the browser post here from another site. The cookie of the sign-in protects it instead.
    provider_callback.__dict__["csrf_exempt"] = True

    def provider_metadata(self, request: HttpRequest, tenant: str, provider: str) -> HttpResponse:
        """Show the metadata that a SAML provider reads."""
        return service_provider_metadata(request, tenant, provider)

    def provider_step_up(self, request: HttpRequest) -> HttpResponse:
        """Redirect to the identity provider that opened the session, for a step-up."""
        return start_step_up(request, self.each_context(request))

    provider_step_up.__dict__[OWN_UNIT_OF_WORK] = True

    def sign_in_methods(self, request: HttpRequest) -> HttpResponse:
        """Show the reader's accounts at identity providers, and link or unlink them."""
        return methods_page(request, self.each_context(request))

    sign_in_methods.__dict__[OWN_UNIT_OF_WORK] = True

    def time_zone(self, request: HttpRequest) -> HttpResponse:
        """Show and handle the time zone form."""
        return time_zone_page(request, self.each_context(request))

    time_zone.__dict__[OWN_UNIT_OF_WORK] = True

    def notifications(self, request: HttpRequest) -> HttpResponse:
        """Show and handle the form of notification preferences."""
        return notifications_page(request, self.each_context(request))

    notifications.__dict__[OWN_UNIT_OF_WORK] = True

    def app_index(self, request: HttpRequest, app_label: str, extra_context: Any = None) -> TemplateResponse:
        raise Http404
