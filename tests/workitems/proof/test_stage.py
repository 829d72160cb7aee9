"""Transactions of a proof: people are made once in each, and none of its locks outlasts its time."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from tests.factories import acting_system, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Membership, Tenant, User
from workitems.proof.stage import TIMEOUTS, Case, Stage, TooSlowError


@pytest.fixture
def stage(tenant: Tenant) -> Stage:
    return Stage(acting_system(tenant), seconds=60)


def test_cases_share_their_people_and_nothing_else(tenant: Tenant, stage: Stage) -> None:
    def case(case: Case) -> ActingContext:
        assert not Membership.objects.filter(user__username="of-a-case").exists()
        make_principal(tenant, "of-a-case")
        return case.cast.requester

    try:
        assert stage.observe(case) is stage.observe(case)
    finally:
        stage.close()
    assert not User.objects.filter(username__startswith="threada-proof-").exists()


@pytest.mark.django_db(transaction=True)
def test_the_database_ends_a_transaction_that_holds_a_lock_for_too_long(tenant: Tenant) -> None:
    member = make_principal(tenant, "held")
    taken = threading.Event()

    def take() -> None:
        with unit_of_work(tenant.id):
            Membership.objects.select_for_update().get(user=member)
            taken.set()
        connection.close()

    def hold(case: Case) -> bool:
        Membership.objects.select_for_update().get(user=member)
        waiting = threading.Thread(target=take)
        waiting.start()
        waiting.join(30)  # far longer than the time of the transaction, in which no statement runs
        case.check_time()
        return False

    stage = Stage(acting_system(tenant), seconds=5)  # enough to make the people also beside other load
    with pytest.raises((TooSlowError, *TIMEOUTS)):
        stage.observe(hold)
    assert taken.is_set()
