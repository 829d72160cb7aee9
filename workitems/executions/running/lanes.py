"""Places for calls: call slots, and a long lane for calls that have lasted a second. Pure, not safe with threads.

A call begins in a call slot. A tenant without a call in this process needs no free one, so that the calls of others do
not delay it. After a second a call moves to the long lane, which has as many places as there are call slots. There a
tenant has at most half of the places, and an integration without a limit of concurrency at most four. A call whose
share is full keeps its call slot until a place is free. Both kinds count: while as many calls of a tenant or an
integration as its share have lasted a second, no further call of it begins.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

LONG_AFTER_S: Final = 1.0
PER_INTEGRATION: Final = 4
LOOK_AGAIN_S: Final = 15.0
"""A waiting execution is looked at after this time although its share is full: its deadline may have passed."""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Receiver of calls. `has_limit`: its integration has a limit of concurrency, which counts in place of the four."""

    tenant_id: uuid.UUID
    integration: str
    has_limit: bool = False


@dataclass(eq=False, slots=True)
class Place:
    """Place of one call. `lasts`: it has lasted a second. `is_long`: it is in the long lane.

    `has_arrived`: the outcome was handed to the thread of the job. `is_handed_over`: the thread of the call settles it.
    """

    receiver: Receiver
    lasts: bool = False
    is_long: bool = False
    has_arrived: bool = False
    is_handed_over: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    tenant_id: uuid.UUID
    receiver: Receiver | None
    looked_at: float


@dataclass(slots=True)
class CallLanes:
    """Places of one process. `size`: number of places in each lane. `taken`: call slots that are not free."""

    size: int
    taken: int = 0
    _calls: Counter[uuid.UUID] = field(default_factory=Counter)
    _lasting: Counter[Receiver] = field(default_factory=Counter)
    _lasting_of_tenant: Counter[uuid.UUID] = field(default_factory=Counter)
    _long: Counter[Receiver] = field(default_factory=Counter)
    _long_of_tenant: Counter[uuid.UUID] = field(default_factory=Counter)
    _keeping_slots: dict[Place, None] = field(default_factory=dict)
    _waiting: dict[uuid.UUID, _Waiting] = field(default_factory=dict)

    @property
    def free(self) -> int:
        """Return the number of free call slots."""
        return max(0, self.size - self.taken)

    @property
    def share(self) -> int:
        """Return the number of places in the long lane that one tenant may have."""
        return max(1, self.size // 2)

    def is_full(self, tenant_id: uuid.UUID) -> bool:
        """Return True if no further call of a tenant may begin."""
        return self._lasting_of_tenant[tenant_id] >= self.share

    def has_room(self, receiver: Receiver) -> bool:
        """Return True if the shares of a receiver and its tenant allow a further call."""
        if self.is_full(receiver.tenant_id):
            return False
        return receiver.has_limit or self._lasting[receiver] < PER_INTEGRATION

    def full_integrations(self, tenant_id: uuid.UUID) -> list[str]:
        """Return the integrations of a tenant without limits whose share is full."""
        own = [each for each in self._lasting if each.tenant_id == tenant_id]
        return [each.integration for each in own if not self.has_room(each)]

    def begin(self, place: Place) -> None:
        """Note that a call begins."""
        self._calls[place.receiver.tenant_id] += 1

    def take_beyond(self, tenant_id: uuid.UUID) -> bool:
        """Take a call slot although none is free. Return False if the tenant has a call, or if no thread is free.

        There are two threads for each slot. A call that waited for a thread could begin after its lease has ended.
        """
        if self._calls[tenant_id] or self.taken + self._long.total() >= 2 * self.size:
            return False
        self.taken += 1
        return True

    def note_lasting(self, place: Place) -> None:
        """Note that a call has lasted a second. Move it to the long lane if its share has a place there."""
        place.lasts = True
        self._lasting[place.receiver] += 1
        self._lasting_of_tenant[place.receiver.tenant_id] += 1
        if self._has_long_place(place.receiver):
            self._move(place)
        else:
            self._keeping_slots[place] = None

    def end(self, place: Place) -> None:
        """Free the place of a call, for one that keeps its call slot if it is in the long lane."""
        _less(self._calls, place.receiver.tenant_id)
        if place.lasts:
            _less(self._lasting, place.receiver)
            _less(self._lasting_of_tenant, place.receiver.tenant_id)
        if not place.is_long:
            self._keeping_slots.pop(place, None)
            self.taken -= 1
            return
        _less(self._long, place.receiver)
        _less(self._long_of_tenant, place.receiver.tenant_id)
        following = next((each for each in self._keeping_slots if self._has_long_place(each.receiver)), None)
        if following is not None:
            self._keeping_slots.pop(following)
            self._move(following)

    def wait(self, execution_id: uuid.UUID, tenant_id: uuid.UUID, receiver: Receiver | None, *, now: float) -> None:
        """Remember an execution that may not begin. `receiver`: None if no call slot was free."""
        self._waiting[execution_id] = _Waiting(tenant_id, receiver, now)

    def still_waits(self, execution_id: uuid.UUID, *, now: float) -> bool:
        """Return True if an execution was looked at lately and still may not begin."""
        known = self._waiting.get(execution_id)
        return known is not None and now - known.looked_at < LOOK_AGAIN_S and not self._may_begin(known)

    def forget_waiting(self, execution_ids: Iterable[uuid.UUID]) -> None:
        """Forget executions that have begun or ended."""
        for execution_id in execution_ids:
            self._waiting.pop(execution_id, None)

    def take_ready(self) -> list[tuple[uuid.UUID, uuid.UUID]]:
        """Return tenant and id of executions that waited and may begin now, no more than there are free call slots."""
        ready = list[tuple[uuid.UUID, uuid.UUID]]()
        for execution_id, known in self._waiting.items():
            if len(ready) >= self.free:
                break
            if self._may_begin(known):
                ready.append((known.tenant_id, execution_id))
        self.forget_waiting(execution_id for _, execution_id in ready)
        return ready

    def _may_begin(self, known: _Waiting) -> bool:
        if not self.free:
            return False
        return self.has_room(known.receiver) if known.receiver is not None else not self.is_full(known.tenant_id)

    def _has_long_place(self, receiver: Receiver) -> bool:
        if self._long.total() >= self.size or self._long_of_tenant[receiver.tenant_id] >= self.share:
            return False
        return receiver.has_limit or self._long[receiver] < PER_INTEGRATION

    def _move(self, place: Place) -> None:
        place.is_long = True
        self._long[place.receiver] += 1
        self._long_of_tenant[place.receiver.tenant_id] += 1
        self.taken -= 1


def _less[Key](counter: Counter[Key], key: Key) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
