"""The people and roles that the vote matrix needs besides those of the office."""

from __future__ import annotations

from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.groups import define_group
from threada_site.identity.roles import define_role
from threada_site.kernel.context import Scope


def add_people(office: Office) -> None:
    """Add the role legal, people who hold it, an agent, a requester of finance, and the group board."""
    with unit_of_work(office.tenant.id):
        define_role("legal", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=office.system)
    office.join("both", roles=("approver", "finance", "legal"))
    office.join("lena", roles=("approver", "legal"))
    office.join("rolf", roles=("client", "finance"))
    office.join("bot", kind="agent", roles=("approver", "finance", "legal"))
    with unit_of_work(office.tenant.id):
        define_group("board", ["vera"], ctx=office.system)
