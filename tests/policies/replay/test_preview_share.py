"""Previews of replays: a tenant that types everywhere leaves its share to others."""

from __future__ import annotations

import uuid

from policies.replay.preview_share import MOST_OF_PERSON_S, MOST_OF_TENANT_S, WINDOW_S, PreviewShare
from threada_site.kernel.errors import EvaluatorBusy

ACME, GLOBEX = uuid.uuid4(), uuid.uuid4()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def step(share: PreviewShare, clock: Clock, tenant: uuid.UUID, person: uuid.UUID, *, takes: float = 0.7) -> bool:
    """Take the share for one step. Return False if it was refused."""
    try:
        with share.taken(tenant=tenant, person=person):
            clock.now += takes
    except EvaluatorBusy:
        return False
    return True


def test_a_person_and_a_tenant_have_a_share_of_each_minute() -> None:
    clock = Clock()
    share = PreviewShare(clock)
    person = uuid.uuid4()
    used = 0.0
    while step(share, clock, ACME, person):
        used += 0.7
    assert MOST_OF_PERSON_S <= used < MOST_OF_PERSON_S + 0.7
    while step(share, clock, ACME, uuid.uuid4()):
        used += 0.7
    assert MOST_OF_TENANT_S <= used < MOST_OF_TENANT_S + 0.7
    assert step(share, clock, GLOBEX, uuid.uuid4()), "another tenant has its own"
    clock.now += WINDOW_S
    assert step(share, clock, ACME, person)


def test_a_tenant_that_types_everywhere_does_not_delay_another() -> None:
    clock = Clock()
    share = PreviewShare(clock)
    assert step(share, clock, ACME, uuid.uuid4())
    with share.taken(tenant=ACME, person=uuid.uuid4()):
        assert not step(share, clock, GLOBEX, uuid.uuid4()), "the only evaluator for previews is in use"
        clock.now += 0.7
    assert not step(share, clock, ACME, uuid.uuid4()), "the other tenant waits and has used less"
    assert step(share, clock, GLOBEX, uuid.uuid4())
    assert step(share, clock, ACME, uuid.uuid4())


def test_nobody_waits_for_a_tenant_that_stopped_asking() -> None:
    clock = Clock()
    share = PreviewShare(clock)
    with share.taken(tenant=ACME, person=uuid.uuid4()):
        clock.now += 0.7
        assert not step(share, clock, GLOBEX, uuid.uuid4())
    clock.now += 2
    assert step(share, clock, ACME, uuid.uuid4())
