"""NDJSON: one receipt a line, byte for byte as it was hashed. Canonical JSON holds no line break. Pure."""

from __future__ import annotations

from telemetry.formats.encoder import Bodies


class Lines:
    """The stored bodies, each ended by a line feed."""

    def head(self) -> bytes:
        return b""

    def encode(self, bodies: Bodies) -> bytes:
        return b"\n".join((*bodies, b""))

    def tail(self) -> bytes:
        return b""
