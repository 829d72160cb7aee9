"""Order in which requests are run, and how many."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from threada_site.kernel.errors import ServerBusy
from threada_site.runtime.web.waiting import Standing, Threads, Turns


def job(name: str, done: list[str]) -> Callable[[], None]:
    return lambda: done.append(name)


def test_clients_take_turns() -> None:
    turns, done = Turns(10), list[str]()
    for name in ("a1", "a2", "a3", "b1", "c1", "b2"):
        turns.add(job(name, done), name[0])
    while turns:
        turns.next()()
    assert done == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_client_without_waiting_requests_is_admitted_when_others_fill_the_queue() -> None:
    turns = Turns(2)
    turns.add(lambda: None, "a")
    turns.add(lambda: None, "a")
    with pytest.raises(ServerBusy):
        turns.add(lambda: None, "a")
    turns.add(lambda: None, "b")


def started(threads: Threads, standings: list[Standing]) -> list[Standing]:
    """Submit one job of each standing to threads that never report an end. Return those that were started."""
    begun: list[Standing] = []
    lock = threading.Condition()

    def run(standing: Standing) -> None:
        with lock:
            begun.append(standing)
            lock.notify_all()

    for number, standing in enumerate(standings):
        threads.submit(lambda standing=standing: run(standing), client=str(number), standing=standing)
    with lock:
        lock.wait_for(lambda: False, 0.2)
        return list(begun)


def test_busy_clients_leave_a_thread_free() -> None:
    threads = Threads(4, most_waiting=100)
    assert started(threads, [Standing.BUSY] * 10) == [Standing.BUSY] * 3
    assert started(threads, [Standing.REGULAR]) == [Standing.REGULAR]


def test_requests_of_suspects_run_one_at_a_time() -> None:
    threads = Threads(4, most_waiting=100)
    assert started(threads, [Standing.SUSPECT] * 10) == [Standing.SUSPECT]
    threads.finished(Standing.SUSPECT)
    assert started(threads, [Standing.REGULAR] * 2) == [Standing.REGULAR] * 2


def test_lower_standings_get_every_fourth_turn() -> None:
    threads = Threads(1, most_waiting=100)
    begun: list[Standing] = []
    held = threading.Event()
    threads.submit(lambda: held.wait(5) and None, client="first")
    for number in range(20):
        for standing in Standing:
            threads.submit(lambda standing=standing: begun.append(standing), client=str(number), standing=standing)
    held.set()
    for _ in range(3):
        threads.finished()
    for turn in range(30):
        while len(begun) <= turn:
            pass
        threads.finished(begun[turn])
    assert begun[:30].count(Standing.REGULAR) >= 18
    assert begun[:30].count(Standing.BUSY) >= 1
    assert begun[:30].count(Standing.SUSPECT) >= 1
