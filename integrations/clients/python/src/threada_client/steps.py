"""Descriptors that turn one generator into a synchronous and an asynchronous method."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, update_wrapper
from typing import Any, Concatenate, Protocol, cast, overload

from threada_client.exchange import Request, Steps, answered

type Filter = str | int | Sequence[str]
"""A query parameter; several texts are alternatives."""


class RunsSteps(Protocol):
    """A synchronous transport."""

    def run[T](self, steps: Steps[T]) -> T: ...
    def iterate[T](self, listing: Listing[T]) -> Iterator[T]: ...


class RunsStepsAsync(Protocol):
    """An asynchronous transport."""

    async def run_async[T](self, steps: Steps[T]) -> T: ...
    def iterate_async[T](self, listing: Listing[T]) -> AsyncIterator[T]: ...


@dataclass(frozen=True)
class Page[T]:
    """Entries of one page, and the rest of the list, or None."""

    entries: list[T]
    rest: Listing[T] | None


@dataclass(frozen=True)
class Listing[T]:
    """A list that is read page by page. `T` is the type of its entries."""

    path: str
    query: Mapping[str, Filter]

    def page(self) -> Steps[Page[T]]:
        """Read the first page."""
        answer = yield from answered(Request("GET", self.path, query=self.query))
        body = answer.json()
        more = Listing[T](self.path, {**self.query, "cursor": body["next_cursor"]}) if body["has_more"] else None
        return Page(body["data"], more)


class operation[**P, T]:  # noqa: N801  (used as a decorator)
    """Method that returns the result of a generator, at once or as an awaitable."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._steps = steps
        update_wrapper(cast("Callable[..., Any]", self), steps)

    @overload
    def __get__(self, client: None, owner: type) -> operation[P, T]: ...
    @overload
    def __get__(self, client: RunsSteps, owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: RunsStepsAsync, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self
        run = client.run_async if hasattr(client, "run_async") else client.run
        return update_wrapper(partial(_called, run, self._steps, client), self._steps)


class listing[**P, T]:  # noqa: N801  (used as a decorator)
    """Method that returns an iterator over all entries of a list, synchronous or asynchronous."""

    def __init__(self, first: Callable[Concatenate[Any, P], Listing[T]]) -> None:
        self._first = first
        update_wrapper(cast("Callable[..., Any]", self), first)

    @overload
    def __get__(self, client: None, owner: type) -> listing[P, T]: ...
    @overload
    def __get__(self, client: RunsSteps, owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: RunsStepsAsync, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, client: Any, owner: type) -> Any:
        if client is None:
            return self
        iterate = client.iterate_async if hasattr(client, "iterate_async") else client.iterate
        return update_wrapper(partial(_called, iterate, self._first, client), self._first)


def _called(run: Callable[[Any], Any], steps: Callable[..., Any], client: Any, *arguments: Any, **named: Any) -> Any:
    return run(steps(client, *arguments, **named))
