"""The clients: operations on httpx, synchronous and asynchronous."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import IO, Any, Final, Self
from urllib.parse import urlsplit

import httpx

from threada_client.errors import ConnectionFailed
from threada_client.exchange import Answer, Pause, Request, Steps
from threada_client.operations import Operations
from threada_client.steps import Listing

TIMEOUT: Final = httpx.Timeout(10, read=60)
URL, TOKEN = "THREADA_URL", "THREADA_TOKEN"


class _Client(Operations):
    """Address, token and headers of a client."""

    def __init__(
        self, url: str | None = None, token: str | None = None, *, role: str | None = None, insecure: bool = False
    ) -> None:
        """Set up a client.

        Without `url` and `token`, the environment variables THREADA_URL and THREADA_TOKEN are read. `role` limits the
        client to one role of the principal. `insecure` permits a token over plain HTTP to another machine.
        """
        url, token = url or os.environ.get(URL, ""), token or os.environ.get(TOKEN, "")
        if not url or not token:
            raise ValueError(f"Give the address and the token of Threada, or set {URL} and {TOKEN}.")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url} is no address with http or https.")
        if parts.scheme == "http" and not insecure and not _is_own_machine(parts.hostname):
            raise ValueError(f"{url} would send the token without encryption. Use https, or insecure=True.")
        self.url = url.rstrip("/")
        self._settings: dict[str, Any] = {
            "base_url": url,
            "timeout": TIMEOUT,
            "headers": {
                "Authorization": f"Bearer {token}",
                "Accept": "application/json, application/problem+json, */*;q=0.5",
                "User-Agent": f"threada-client/{_version()}",
                **({"Threada-Role": role} if role else {}),
            },
        }


class Threada(_Client):
    """Synchronous client."""

    def __init__(
        self, url: str | None = None, token: str | None = None, *, role: str | None = None, insecure: bool = False
    ) -> None:
        super().__init__(url, token, role=role, insecure=insecure)
        self._http = httpx.Client(**self._settings)

    def run[T](self, steps: Steps[T]) -> T:
        """Carry out the steps of an operation."""
        answer, failure = None, None
        while True:
            try:
                step = steps.throw(failure) if failure else steps.send(answer)  # type: ignore[arg-type]
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer, failure = None, None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                answer = self._send(step)
            except httpx.TransportError as error:
                failure = _connection_failed(error)

    def iterate[T](self, listing: Listing[T]) -> Iterator[T]:
        """Iterate over the entries of all pages."""
        rest: Listing[T] | None = listing
        while rest is not None:
            page = self.run(rest.page())
            yield from page.entries
            rest = page.rest

    def _send(self, request: Request) -> Answer:
        with self._http.stream(**_sent(request)) as response:
            if request.into is not None and response.is_success:
                with _file(request.into) as file:
                    for part in response.iter_bytes():
                        file.write(part)
            else:
                response.read()
            return _answer(request, response)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncThreada(_Client):
    """Asynchronous client."""

    def __init__(
        self, url: str | None = None, token: str | None = None, *, role: str | None = None, insecure: bool = False
    ) -> None:
        super().__init__(url, token, role=role, insecure=insecure)
        self._http = httpx.AsyncClient(**self._settings)

    async def run_async[T](self, steps: Steps[T]) -> T:
        """Carry out the steps of an operation."""
        answer, failure = None, None
        while True:
            try:
                step = steps.throw(failure) if failure else steps.send(answer)  # type: ignore[arg-type]
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            answer, failure = None, None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                answer = await self._send(step)
            except httpx.TransportError as error:
                failure = _connection_failed(error)

    async def iterate_async[T](self, listing: Listing[T]) -> AsyncIterator[T]:
        """Iterate over the entries of all pages."""
        rest: Listing[T] | None = listing
        while rest is not None:
            page = await self.run_async(rest.page())
            for entry in page.entries:
                yield entry
            rest = page.rest

    async def _send(self, request: Request) -> Answer:
        async with self._http.stream(**_sent(request)) as response:
            if request.into is not None and response.is_success:
                with _file(request.into) as file:
                    async for part in response.aiter_bytes():
                        file.write(part)
            else:
                await response.aread()
            return _answer(request, response)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _sent(request: Request) -> dict[str, Any]:
    """Return the arguments of httpx for a request."""
    headers = dict(request.headers)
    sent: dict[str, Any] = {"method": request.method, "url": request.path, "params": dict(request.query)}
    if request.body is not None:
        headers["Content-Type"] = "application/json"
        sent["content"] = json.dumps(request.body, ensure_ascii=False, allow_nan=False).encode()
    return {**sent, "headers": headers}


def _answer(request: Request, response: httpx.Response) -> Answer:
    body = b"" if request.into is not None and response.is_success else response.content
    return Answer(response.status_code, dict(response.headers), body)


@contextlib.contextmanager
def _file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file next to `path` that takes its place when everything is written."""
    with NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as file:
        written = Path(file.name)
        try:
            yield file
        except BaseException:
            written.unlink(missing_ok=True)
            raise
    written.replace(path)


def _connection_failed(error: httpx.TransportError) -> ConnectionFailed:
    failure = ConnectionFailed(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def _is_own_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _version() -> str:
    try:
        return version("threada-client")
    except PackageNotFoundError:  # run from its sources
        return "0"
