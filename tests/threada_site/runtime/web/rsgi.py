"""Parts of the server's interface for tests without sockets: a request's scope, its headers and its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Headers:
    """Headers as the server gives them: `items` leaves out values that are not ASCII."""

    def __init__(self, *pairs: tuple[str, str]) -> None:
        self._pairs = pairs

    def items(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self._pairs if value.isascii()]

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name for name, _ in self._pairs))

    def get(self, name: str, default: Any = None) -> Any:
        return next((value for each, value in self.items() if each == name), default)

    def get_all(self, name: str) -> list[str]:
        return [value for each, value in self.items() if each == name]

    def __len__(self) -> int:
        return len(self.keys())


@dataclass
class Scope:
    headers: Headers = field(default_factory=Headers)
    method: str = "GET"
    path: str = "/"
    query_string: str = ""
    client: str = "127.0.0.1:5000"
    server: str = "127.0.0.1:8000"
    scheme: str = "http"
    http_version: str = "1.1"
    authority: str | None = None


@dataclass
class Protocol:
    """A body in pieces, each after a pause, and the response that is given. `is_cut`: it ends before its framing does."""

    pieces: Sequence[bytes] = ()
    pause_s: float = 0.0
    is_cut: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    path: str = ""
    _sent: int = 0

    async def __call__(self) -> bytes:
        for _ in self.pieces:
            await asyncio.sleep(self.pause_s)
        if self.is_cut:
            raise RuntimeError
        return b"".join(self.pieces)

    def __aiter__(self) -> Protocol:
        return self

    async def __anext__(self) -> bytes:
        """Give an empty piece at the end and for an error. Only after the end there is no further one."""
        self._sent += 1
        if self._sent <= len(self.pieces):
            await asyncio.sleep(self.pause_s)
            return self.pieces[self._sent - 1]
        if self._sent == len(self.pieces) + 1 or self.is_cut:
            return b""
        raise StopAsyncIteration

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        assert not self.status
        self.status, self.headers, self.body = status, dict(headers), body

    def response_empty(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.response_bytes(status, headers, b"")

    def response_file(self, status: int, headers: list[tuple[str, str]], path: str) -> None:
        assert not self.status
        self.status, self.headers, self.path = status, dict(headers), path
