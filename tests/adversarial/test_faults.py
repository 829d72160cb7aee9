"""The receiver acts, and its response is lost, truncated, late or wrong. Worker and proxy run in processes of their
own.

If the receiver deduplicates, the call is repeated with one effect. If not, it is never repeated and a person must
record the result.
"""

from __future__ import annotations

from typing import Any

import pytest

from integrations.configuration.configure import upsert_integration
from integrations.models import Attempt, Execution
from tests.adversarial.waiting import until
from tests.factories import acting_system
from tests.journeys.worker import running_worker
from tests.receivers.fixtures import Receiver, receiver
from tests.workitems.office import Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel.context import EntryPoint
from threada_site.tenancy.models import Tenant

__all__ = ["receiver"]

pytestmark = [pytest.mark.adversarial, pytest.mark.django_db(transaction=True)]

TIMEOUT_S = 2
ATTEMPTS = 3
WITHIN_S = 90
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "swallowed": ({"fault": "close"}, "bad_response"),
    "reset": ({"fault": "reset"}, "bad_response"),
    "reset-mid-body": ({"fault": "reset_mid_body"}, "bad_response"),
    "late": ({"delay_s": TIMEOUT_S + 1.5}, "timeout"),
    "truncated": ({"fault": "truncated"}, "bad_response"),
    "short": ({"fault": "short"}, "bad_response"),
    "internal-error": ({"status": 500}, "bad_response"),
    "unavailable": ({"status": 503}, "bad_response"),
}
"""What becomes of an answer, and the failure that it must be."""


def open_banks(office: Office, url: str) -> None:
    """Publish two banks: `again` may be repeated, `once` may not."""
    with unit_of_work(office.tenant.id):
        for slug, is_idempotent in (("again", True), ("once", False)):
            pay = {"method": "POST", "path": f"/{slug}/${{item.payload.vendor}}", "body": {}, "resolves": True}
            spec = {
                "connector": "http",
                "base_url": url,
                "idempotent": is_idempotent,
                "timeout": TIMEOUT_S,
                "retry": {"attempts": ATTEMPTS, "backoff": 0.2},
                "breaker": {"failures": 100},
                "actions": {"pay": pay},
            }
            upsert_integration(slug, spec, ctx=acting_system(office.tenant, EntryPoint.COMMAND))


def status_and_attempts(office: Office, execution: Execution) -> tuple[str, list[tuple[str, str, bool]]]:
    """Return the status, and for each attempt its outcome, failure and whether the receiver may have acted.

    On a busy machine a call of a set may not start in time, and its attempt ends before anything is sent.
    """
    with unit_of_work(office.tenant.id):
        tries = Attempt.objects.filter(execution=execution).order_by("number")
        tries = tries.exclude(failure="worker_lost", ambiguous=False)
        return Execution.objects.get(id=execution.id).status, list(tries.values_list("outcome", "failure", "ambiguous"))


def test_fault_after_the_effect_never_causes_a_second_one(tenant: Tenant, receiver: Receiver) -> None:
    office = open_office(tenant)
    cases = [(bank, fault, times) for fault in FAULTS for bank, times in (("again", 1), ("again", 99), ("once", 1))]
    spoiled = {f"/{bank}/{fault}-{times}": {**FAULTS[fault][0], "times": times} for bank, fault, times in cases}
    receiver.behave({"/again": {"dedupe": True}, "/once": {}})
    with receiver.behind_faults(spoiled) as url:
        open_banks(office, url)
        executions = {
            (bank, fault, times): office.execute(
                office.decided(payload={"amount": 5, "vendor": f"{fault}-{times}"}), integration=bank
            ).execution
            for bank, fault, times in cases
        }
        with running_worker(THREADA_EGRESS_ALLOW="127.0.0.1/32", THREADA_LOG_LEVEL="WARNING"):
            until(
                lambda: all(
                    office.execution(each).status not in ("started", "running") for each in executions.values()
                ),
                seconds=WITHIN_S,
            )
    for (bank, fault, times), execution in executions.items():
        failed = ("failed", FAULTS[fault][1], True)
        calls = receiver.requests(f"/{bank}/{fault}-{times}")
        expected: tuple[str, list[tuple[str, str, bool]]] = {
            ("again", 1): ("succeeded", [failed, ("succeeded", "", False)]),
            ("again", 99): ("outcome_unknown", [failed] * ATTEMPTS),
            ("once", 1): ("outcome_unknown", [failed]),
        }[bank, times]
        assert status_and_attempts(office, execution) == expected, (bank, fault, times)
        assert len(calls) == len(expected[1]), (bank, fault, times)
        assert sum(call["effect"] for call in calls) == 1, (bank, fault, times)
        assert {call["headers"]["idempotency-key"] for call in calls} == {execution.public_id}
