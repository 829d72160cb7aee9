"""NDJSON: one receipt per line, byte for byte as it was hashed. Canonical JSON contains no line break. Pure."""

from __future__ import annotations

from telemetry.exports.formats.encoder import Bodies


class NdjsonEncoder:
    """Encoder of the stored bodies, each followed by a line feed."""

    def header(self) -> bytes:
        return b""

    def encode(self, bodies: Bodies) -> bytes:
        return b"\n".join((*bodies, b""))

    def footer(self) -> bytes:
        return b""
