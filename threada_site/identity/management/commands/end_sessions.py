from __future__ import annotations

from threada_site.identity.console_sessions.ending import end_sessions_of
from threada_site.identity.management.person_command import PersonCommand
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import User


class Command(PersonCommand):
    help = "End all console sessions of a person. The password stays valid."

    def run_for(self, person: User, *, ctx: ActingContext) -> str:
        return f"{end_sessions_of(person, ctx=ctx)} sessions ended"
