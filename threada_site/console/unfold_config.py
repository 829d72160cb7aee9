"""Callbacks of the unfold theme's settings: logo, stylesheet, tenant label, account links."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext as _


def logo(_request: HttpRequest | None = None) -> str:
    return static("console/logo.svg")


def icon(_request: HttpRequest | None = None) -> str:
    return static("console/icon-192.png")


def manifest(_request: HttpRequest | None = None) -> str:
    return static("console/manifest.webmanifest")


def install_script(_request: HttpRequest | None = None) -> str:
    return static("console/install.js")


def stylesheet(_request: HttpRequest | None = None) -> str:
    return static("console/console.css")


def tenant_label(request: HttpRequest) -> list[str] | None:
    """Return the tenant's label next to the page title, to prevent decisions in the wrong tenant."""
    context = getattr(request, "acting_context", None)
    return [context.tenant_slug, "primary"] if context else None


def account_links(request: HttpRequest) -> list[dict[str, Any]]:
    links = [
        {"title": _("Language and time zone"), "link": reverse("admin:time_zone")},
        {"title": _("Notifications"), "link": reverse("admin:notifications")},
        {"title": _("Personal tokens"), "link": reverse("admin:tenancy_personaltoken_changelist")},
        {"title": _("Sign-in methods"), "link": reverse("admin:sign_in_methods")},
        {"title": _("Second factors"), "link": reverse("admin:second_factors")},
        {"title": _("Sessions"), "link": reverse("admin:sessions")},
        {"title": _("Security history"), "link": reverse("admin:security_history")},
        {"title": _("Mail address"), "link": reverse("admin:mail_address")},
        {"title": _("Change password"), "link": reverse("admin:password_change")},
        {"title": _("Leave this tenant"), "link": reverse("admin:leave")},
    ]
    if len(getattr(request, "tenant_choices", ())) > 1:
        links.insert(0, {"title": _("Change tenant"), "link": reverse("admin:choose_tenant")})
    return links
