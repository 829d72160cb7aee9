"""Client of the HTTP API with one credential."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from rest_framework.test import APIClient


class Api:
    """`Api(token).post("/work-items", {...}, headers={"Idempotency-Key": "k"})` returns Django's test response.

    A body is sent as JSON, `bytes` unchanged. Without a token, no Authorization is sent.
    """

    def __init__(self, token: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        self.headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        self.client = APIClient()

    def get(self, path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        return self.send("GET", f"{path}?{urlencode(query, doseq=True)}" if query else path, headers=headers)

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self.send("POST", path, body, headers=headers)

    def patch(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self.send("PATCH", path, body, headers=headers)

    def edit(self, path: str, body: Any) -> Any:
        """Send PATCH with the ETag of the resource as it is now."""
        return self.patch(path, body, headers={"If-Match": self.get(path)["ETag"]})

    def replace(self, path: str, body: Any) -> Any:
        """Send PUT with the ETag of the resource as it is now."""
        return self.put(path, body, headers={"If-Match": self.get(path)["ETag"]})

    def put(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        return self.send("PUT", path, body, headers=headers)

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        return self.send("DELETE", path, headers=headers)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Any:
        """Send any method, body and media type."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.generic(
            method, path, data=raw, content_type=content_type, headers={**self.headers, **(headers or {})}
        )
