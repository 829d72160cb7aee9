"""Agents and services as rows of their own page."""

from __future__ import annotations

from threada_site.tenancy.models import Membership


class Agent(Membership):
    """Membership of an agent or a service, as listed on the page of agents."""

    class Meta:
        proxy = True
        verbose_name = "agent"
