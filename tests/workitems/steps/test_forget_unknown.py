"""Migration of open steps whose stored controllers are not known to the end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.db import connection

from tests.factories import make_principal
from tests.threada_site.identity.test_known_control import added_by_one_without_owner
from tests.workitems.office import Office
from tests.workitems.steps.test_unknown_requesters import asked
from threada_site.database.roles import owner_role
from threada_site.kernel import errors
from threada_site.tenancy.models import User
from workitems.lifecycle import StepStatus
from workitems.migrations._0002.forget_unknown import forget_unknown


def test_steps_of_an_earlier_version_wait_for_an_owner(office: Office) -> None:
    bot = added_by_one_without_owner(office.tenant, office.people["ada"])
    _, unknown = asked(office, bot)
    maker = User.objects.get(username="maker")
    office.set_step(unknown, excluded_controllers={str(bot.id): [str(maker.id)]}, reachability_check_due=False)
    _, known = asked(office, make_principal(office.tenant, "known", "service"))
    before = office.step(known).excluded_controllers
    with owner_role():
        forget_unknown(None, SimpleNamespace(connection=connection))
    stored = office.step(unknown)
    assert (stored.excluded_controllers, stored.reachability_check_due) == ({}, True)
    assert office.step(known).excluded_controllers == before != {}
    office.vote(known, "fay")
    office.vote(known, "finn")
    assert office.step(known).status == StepStatus.APPROVED
    with pytest.raises(errors.VoterNotIndependent):
        office.vote(unknown, "fay")
