"""Choices of the filter bars. They are read from the configuration, never from large tables."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext_lazy

from integrations import selectors as integration_selectors
from policies import selectors as policy_selectors
from policies.models import PolicyVersion
from threada_site.admin.lists import ListFilter
from threada_site.kernel.context import ActingContext

_MOST: Final = 300


def workflow_choices(ctx: ActingContext) -> list[tuple[str, str]]:
    slugs = policy_selectors.workflows(ctx).order_by("slug").values_list("slug", flat=True)[:_MOST]
    return [(slug, slug) for slug in slugs]


def channel_choices(ctx: ActingContext) -> list[tuple[str, str]]:
    slugs = policy_selectors.channels(ctx).order_by("slug").values_list("slug", flat=True)[:_MOST]
    return [(slug, slug) for slug in slugs]


def integration_choices(ctx: ActingContext) -> list[tuple[str, str]]:
    slugs = integration_selectors.readable_integrations(ctx).order_by("slug").values_list("slug", flat=True)[:_MOST]
    return [(slug, slug) for slug in slugs]


def policy_version_choices(ctx: ActingContext) -> list[tuple[str, str]]:
    """Return all versions except drafts, by policy, newest first."""
    rows = PolicyVersion.objects.filter(tenant_id=ctx.tenant_id).exclude(status="draft").select_related("policy")
    rows = rows.defer("document").order_by("policy__slug", "-number")[:_MOST]
    return [(row.public_id, f"{row.policy.slug} v{row.number}") for row in rows]


WORKFLOW: Final = ListFilter("workflow_id", gettext_lazy("Workflow"), choices=workflow_choices)
CHANNEL: Final = ListFilter("channel_id", gettext_lazy("Channel"), choices=channel_choices)
INTEGRATION: Final = ListFilter("integration_id", gettext_lazy("Integration"), choices=integration_choices)
POLICY_VERSION: Final = ListFilter("policy_version_id", gettext_lazy("Policy version"), choices=policy_version_choices)
