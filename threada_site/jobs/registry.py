"""Which function carries out which job: the one list that every engine binds to.

A task is a plain function of JSON values that opens its own units of work. What engines have of their own (contexts,
retry classes, decorators) stays out of it, so that the engine is a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.module_loading import autodiscover_modules

type Function = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Task:
    """`attempts`: how often one that fails is begun, at most, resting `pause_s` longer each time; 1 where a
    row says what is due. `cron`: when it is enqueued by itself, with seconds as a sixth field. `can_stop`: takes
    `is_asked_to_stop`, to be asked now and then."""

    name: str
    function: Function
    queue: str
    attempts: int = 1
    pause_s: int = 0
    cron: str = ""
    can_stop: bool = False

    def pause_after(self, failures: int) -> int:
        """Seconds until it is begun again: at once after the first."""
        return self.pause_s * (failures - 1)


_tasks: Final[dict[str, Task]] = {}


def task[F: Function](
    name: str, *, queue: str, attempts: int = 1, pause_s: int = 0, can_stop: bool = False
) -> Callable[[F], F]:
    """What carries out jobs of this name. `queue`: where it belongs; who enqueues it may choose another."""

    def register(function: F) -> F:
        _register(Task(name, function, queue, attempts, pause_s, can_stop=can_stop))
        return function

    return register


def periodic[F: Function](name: str, *, queue: str, cron: str) -> Callable[[F], F]:
    """A task without arguments that is enqueued by the clock; one that still waits is not enqueued again."""

    def register(function: F) -> F:
        _register(Task(name, function, queue, cron=cron))
        return function

    return register


def all_tasks() -> Mapping[str, Task]:
    """Every task of every app, by its name."""
    autodiscover_modules("tasks")
    return _tasks


def run_task(name: str, arguments: dict[str, Any], *, is_asked_to_stop: Callable[[], bool] = lambda: False) -> None:
    """Carry out one job. Raises KeyError when no task has that name, and whatever the task raises."""
    found = all_tasks()[name]
    if found.can_stop:
        found.function(**arguments, is_asked_to_stop=is_asked_to_stop)
    else:
        found.function(**arguments)


def _register(new: Task) -> None:
    if _tasks.get(new.name, new).function is not new.function:
        raise ValueError(f"Two tasks are called {new.name}.")
    _tasks[new.name] = new
