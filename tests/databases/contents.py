"""Rows that many tests begin with, and the fixtures whose values they are.

A builder commits its rows and returns, for each fixture, a function that makes a test's own copy of the value.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from django.test import override_settings

from tests.factories import make_tenant
from threada_site.tenancy.models import Tenant

if TYPE_CHECKING:
    from tests.workitems.office import Office

type Values = dict[str, Callable[..., Any]]
MD5: Final = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""A password hash that costs nothing, for tests that need passwords but not their strength."""


def _office(_folder: Path) -> Values:
    from tests.workitems.office import open_office

    return _values_of(open_office(make_tenant("acme")))


def _staffed_office(_folder: Path) -> Values:
    from tests.workitems.office import open_office
    from tests.workitems.steps.matrix_people import add_people

    made = open_office(make_tenant("acme"))
    add_people(made)
    return _values_of(made)


def _values_of(made: Office) -> Values:
    from tests.workitems.office import Office

    def office(tenant: Tenant) -> Office:
        return Office(tenant, {name: copy(person) for name, person in made.people.items()})

    return {"tenant": lambda: copy(made.tenant), "office": office}


def _demo(_folder: Path) -> Values:
    from tests.journeys.demo import Demo, seeded_demo

    with override_settings(PASSWORD_HASHERS=MD5):
        made = seeded_demo()
    return {"demo": lambda: Demo(copy(made.tenant), made.secrets)}


def _busy_demo(_folder: Path) -> Values:
    from tests.console.busy import busy_tenant
    from tests.journeys.demo import Demo, seeded_demo

    with override_settings(PASSWORD_HASHERS=MD5):
        made = seeded_demo()
        busy = busy_tenant(made)
    return {"demo": lambda: Demo(copy(made.tenant), made.secrets), "busy_demo": lambda: busy}


def _rows_of_two_tenants(_folder: Path) -> Values:
    from tests.threada_site.tenancy.rows import RowMaker

    own, others = RowMaker(make_tenant("acme")), RowMaker(make_tenant("globex"))
    own.one_of_each()
    others.one_of_each()
    return {
        "tenant": lambda: copy(own.tenant),
        "other_tenant": lambda: copy(others.tenant),
        "own": own.copied_for,
        "others": others.copied_for,
    }


def _world(_folder: Path) -> Values:
    from tests.contract.world import make_world

    world = make_world()
    return {"world": lambda: world}


def _populated(_folder: Path) -> Values:
    from tests.contract.populated import populate
    from tests.journeys.demo import seeded_demo

    populated = populate(seeded_demo())
    return {"populated": lambda: populated}


def _sealed(folder: Path) -> Values:
    from tests.telemetry.sealed import SealingSetup
    from tests.telemetry.tampering import SealedLog

    sealed = SealedLog.made(make_tenant("acme"), SealingSetup(folder))
    return {"sealed_log": lambda: sealed}


CONTENTS: Final[dict[str, Callable[[Path], Values]]] = {
    "world": _world,
    "populated": _populated,
    "sealed_log": _sealed,
    "busy_demo": _busy_demo,
    "demo": _demo,
    "own": _rows_of_two_tenants,
    "staffed": _staffed_office,
    "office": _office,
}
"""Fixture that asks for a prepared content → its builder."""
