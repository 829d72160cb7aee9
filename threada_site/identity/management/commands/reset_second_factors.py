from __future__ import annotations

from threada_site.identity.factors.reset import reset_factors
from threada_site.identity.management.person_command import PersonCommand
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import User


class Command(PersonCommand):
    help = "Remove all second factors and recovery codes of a person who has lost them. All sessions of the person end."

    def run_for(self, person: User, *, ctx: ActingContext) -> str:
        removed = reset_factors(person, ctx=ctx).inputs["removed"]
        return f"{removed} second factors removed."
