from __future__ import annotations

from django.conf import settings
from django.urls import reverse

from threada_site.identity.account_links import show_link
from threada_site.identity.management.person_command import PersonCommand
from threada_site.identity.passwords import start_reset
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import User

LOCAL = "http://localhost:8000"


class Command(PersonCommand):
    help = "Print a link, valid for one hour, with which a person sets a new password. All sessions of the person end."

    def run_for(self, person: User, *, ctx: ActingContext) -> str:
        token = show_link(start_reset(person, ctx=ctx), ctx=ctx)
        return (settings.THREADA_PUBLIC_URL.rstrip("/") or LOCAL) + reverse("admin:password_reset_link", args=[token])
