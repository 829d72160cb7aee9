"""Places for calls: call slots and the long lane."""

from __future__ import annotations

import uuid

from workitems.executions.running.lanes import LOOK_AGAIN_S, CallLanes, Place, Receiver

TENANT, OTHER = uuid.UUID(int=1), uuid.UUID(int=2)


def begun(lanes: CallLanes, count: int, receiver: Receiver) -> list[Place]:
    lanes.taken += count
    return [Place(receiver) for _ in range(count)]


def lasting(lanes: CallLanes, count: int, receiver: Receiver) -> list[Place]:
    places = begun(lanes, count, receiver)
    for place in places:
        lanes.note_lasting(place)
    return places


def test_an_integration_without_a_limit_has_four_long_places() -> None:
    lanes, bank = CallLanes(32), Receiver(TENANT, "bank")
    places = begun(lanes, 32, bank)
    assert lanes.free == 0
    for place in places[:3]:
        lanes.note_lasting(place)
    assert (lanes.free, lanes.has_room(bank)) == (3, True)
    for place in places[3:]:
        lanes.note_lasting(place)
    assert (lanes.free, lanes.has_room(bank)) == (4, False)
    assert [place.is_long for place in places] == [True] * 4 + [False] * 28
    lanes.end(places[0])  # its place goes to a call that keeps a slot
    assert (lanes.free, [place.is_long for place in places[:6]]) == (5, [True] * 5 + [False])
    for place in places[1:]:
        lanes.end(place)
    assert (lanes.free, lanes.has_room(bank), lanes.full_integrations(TENANT)) == (32, True, [])


def test_a_tenant_has_half_of_the_long_places_and_others_have_theirs() -> None:
    lanes = CallLanes(32)
    for number in range(4):
        assert not lanes.is_full(TENANT)
        lasting(lanes, 4, Receiver(TENANT, f"bank_{number}"))
    assert lanes.is_full(TENANT)
    assert lanes.full_integrations(TENANT) == [f"bank_{number}" for number in range(4)]
    assert not lanes.has_room(Receiver(TENANT, "bank_5"))
    assert lanes.has_room(Receiver(OTHER, "bank_5"))
    assert lanes.free == 32
    lasting(lanes, 1, Receiver(TENANT, "bank_5"))
    assert lanes.free == 31  # it began before and keeps its slot


def test_an_integration_with_a_limit_has_the_share_of_its_tenant() -> None:
    lanes, bank = CallLanes(32), Receiver(TENANT, "bank", has_limit=True)
    places = lasting(lanes, 15, bank)
    assert (lanes.free, lanes.has_room(bank)) == (32, True)
    places += lasting(lanes, 2, bank)
    assert (lanes.free, lanes.has_room(bank), lanes.is_full(TENANT)) == (31, False, True)
    assert sum(place.is_long for place in places) == 16


def test_calls_that_keep_their_slots_fill_the_share_of_their_tenant() -> None:
    lanes = CallLanes(32)
    lasting(lanes, 16, Receiver(TENANT, "bank"))
    assert (lanes.free, lanes.is_full(TENANT), lanes.is_full(OTHER)) == (20, True, False)


def test_all_tenants_together_have_as_many_long_places_as_there_are_slots() -> None:
    lanes = CallLanes(8)
    for number in range(3):
        lasting(lanes, 4, Receiver(uuid.UUID(int=number), "bank"))
    assert lanes.free == 4


def test_an_execution_waits_for_a_place_and_is_found_when_one_is_free() -> None:
    lanes, bank = CallLanes(32), Receiver(TENANT, "bank")
    places = lasting(lanes, 4, bank)
    first, second = uuid.UUID(int=11), uuid.UUID(int=12)
    lanes.wait(first, TENANT, bank, now=0.0)
    lanes.wait(second, OTHER, Receiver(OTHER, "bank"), now=0.0)
    assert lanes.still_waits(first, now=1.0)
    assert not lanes.still_waits(first, now=LOOK_AGAIN_S)  # its deadline may have passed
    assert lanes.take_ready() == [(OTHER, second)]
    assert lanes.take_ready() == []
    lanes.end(places[0])
    assert not lanes.still_waits(first, now=1.0)
    assert lanes.take_ready() == [(TENANT, first)]
    assert lanes.take_ready() == []


def test_an_execution_without_a_slot_waits_for_any() -> None:
    lanes = CallLanes(2)
    quick = begun(lanes, 2, Receiver(OTHER, "bank"))
    lanes.wait(uuid.UUID(int=11), TENANT, None, now=0.0)
    lanes.wait(uuid.UUID(int=12), TENANT, None, now=0.0)
    assert lanes.take_ready() == []
    lanes.end(quick[0])
    assert lanes.take_ready() == [(TENANT, uuid.UUID(int=11))]  # no more than slots are free
    lanes.forget_waiting([uuid.UUID(int=12)])
    lanes.end(quick[1])
    assert lanes.take_ready() == []


def test_a_tenant_without_a_call_needs_no_free_slot() -> None:
    lanes, bank = CallLanes(4), Receiver(OTHER, "bank")
    places = begun(lanes, 4, Receiver(TENANT, "bank"))
    for place in places:
        lanes.begin(place)
    assert (lanes.free, lanes.take_beyond(TENANT), lanes.take_beyond(OTHER)) == (0, False, True)
    own = Place(bank)
    lanes.begin(own)
    assert (lanes.free, lanes.take_beyond(OTHER)) == (0, False)  # one at a time
    lanes.end(places[0])
    assert lanes.free == 0  # five had four slots
    lanes.end(own)
    assert (lanes.free, lanes.take_beyond(OTHER)) == (1, True)


def test_no_more_calls_begin_than_there_are_threads() -> None:
    lanes = CallLanes(4)
    for number in range(3, 7):
        lasting(lanes, 1, Receiver(uuid.UUID(int=number), "bank"))
    begun(lanes, 4, Receiver(TENANT, "bank"))
    assert (lanes.free, lanes.take_beyond(OTHER)) == (0, False)
