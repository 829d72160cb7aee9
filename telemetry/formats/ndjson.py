"""NDJSON: one receipt a line, byte for byte as it was hashed. Canonical JSON holds no line break. Pure."""

from __future__ import annotations

from telemetry.formats.encoder import Bodies


class NdjsonEncoder:
    """The stored bodies, each ended by a line feed."""

    def header(self) -> bytes:
        return b""

    def encode(self, bodies: Bodies) -> bytes:
        return b"\n".join((*bodies, b""))

    def footer(self) -> bytes:
        return b""
