"""Registry of tasks: the functions that run jobs, by name. Every engine binds to it.

A task is a plain function of JSON values that opens its own units of work. Engine-specific parts (contexts, retry
classes, decorators) stay out of it, so that the engine is a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.utils.module_loading import autodiscover_modules

type Function = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Task:
    """A registered task.

    `attempts`: how often a failing job is started at most, with a pause that grows by `pause_s` each time; 1 if a row
    says what is due. `cron`: schedule with seconds as the sixth field. `can_stop`: the function accepts
    `is_asked_to_stop`.
    """

    name: str
    function: Function
    queue: str
    attempts: int = 1
    pause_s: int = 0
    cron: str = ""
    can_stop: bool = False

    def pause_after(self, failures: int) -> int:
        """Return the seconds until the next attempt; 0 after the first failure."""
        return self.pause_s * (failures - 1)


_tasks: Final[dict[str, Task]] = {}


def task[F: Function](
    name: str, *, queue: str, attempts: int = 1, pause_s: int = 0, can_stop: bool = False
) -> Callable[[F], F]:
    """Register a function as the task `name`. `queue` is the default; a caller of `enqueue` may choose another."""

    def register(function: F) -> F:
        _register(Task(name, function, queue, attempts, pause_s, can_stop=can_stop))
        return function

    return register


def periodic[F: Function](name: str, *, queue: str, cron: str, can_stop: bool = False) -> Callable[[F], F]:
    """Register a task that is enqueued by schedule, unless the previous one still waits.

    Its function takes no argument, or only `is_asked_to_stop` if `can_stop`.
    """

    def register(function: F) -> F:
        _register(Task(name, function, queue, cron=cron, can_stop=can_stop))
        return function

    return register


def all_tasks() -> Mapping[str, Task]:
    """Return every task of every app, by name."""
    autodiscover_modules("tasks")
    return _tasks


def run_task(name: str, arguments: dict[str, Any], *, is_asked_to_stop: Callable[[], bool] = lambda: False) -> None:
    """Run one job. Raise KeyError if there is no such task; pass on whatever the task raises."""
    found = all_tasks()[name]
    if found.can_stop:
        found.function(**arguments, is_asked_to_stop=is_asked_to_stop)
    else:
        found.function(**arguments)


def _register(new: Task) -> None:
    if _tasks.get(new.name, new).function is not new.function:
        raise ValueError(f"Two tasks are called {new.name}.")
    _tasks[new.name] = new
