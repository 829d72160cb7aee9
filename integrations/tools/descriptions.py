"""Descriptions of tools, as an MCP server sends them. A server can send anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from threada_site.kernel.json import patterns, schemas
from threada_site.kernel.json.canonical import canonical_bytes, canonical_sha256

MOST_TOOLS: Final = 200
LARGEST_BYTES: Final = 32 * 1024
"""Size of one description."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")
_TEXTS: Final = {"title": "title", "description": "description"}
_SCHEMAS: Final = {"inputSchema": "input_schema", "outputSchema": "output_schema"}
_HINTS: Final = {
    "readOnlyHint": "read_only",
    "destructiveHint": "destructive",
    "idempotentHint": "idempotent",
    "openWorldHint": "open_world",
}
"""Annotations of the protocol, and their names in facts."""


class UnusableTool(ValueError):
    """A tool that cannot be offered. The message says why."""


def read_description(tool: Any, *, secrets: Iterable[str] = ()) -> tuple[str, dict[str, Any]]:
    """Return name and description of a tool. Raise `UnusableTool`, also if it contains one of `secrets`."""
    name = tool.get("name") if isinstance(tool, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UnusableTool(f"the name {str(name)[:60]!r} is not letters, digits, _ . / and -, at most 128")
    found: dict[str, Any] = {}
    for sent, kept in _TEXTS.items():
        if isinstance(tool.get(sent), str):
            found[kept] = tool[sent]
    for sent, kept in _SCHEMAS.items():
        if isinstance(tool.get(sent), dict):
            found[kept] = tool[sent]
    if not isinstance(found.get("input_schema"), dict) or found["input_schema"].get("type") != "object":
        raise UnusableTool(f"{name} has no input schema of type object")
    found["annotations"] = _annotations(tool.get("annotations"))
    text = canonical_bytes(found)
    if len(text) > LARGEST_BYTES:
        raise UnusableTool(f"{name} has a description of {len(text)} bytes; at most {LARGEST_BYTES} are read")
    if any(secret in text.decode() for secret in secrets if secret):
        raise UnusableTool(f"{name} contains the secret of the integration")
    _check_schema(name, found["input_schema"])
    return name, found


def _annotations(sent: Any) -> dict[str, bool]:
    """Return all annotations; those that are not sent have the defaults of the protocol."""
    hints = sent if isinstance(sent, dict) else {}
    said = {kept: hints[name] for name, kept in _HINTS.items() if isinstance(hints.get(name), bool)}
    reads = said.get("read_only", False)
    return {"read_only": reads, "destructive": not reads, "idempotent": reads, "open_world": True, **said}


def digest_of(name: str, description: Mapping[str, Any]) -> str:
    """Return the digest that pins a tool."""
    return canonical_sha256({"name": name, **description})


def _check_schema(name: str, schema: dict[str, Any]) -> None:
    try:
        if not patterns.fit_together(schema):
            raise UnusableTool(f"{name} has patterns that are too large")
        schemas.validator(schema, pattern_options=patterns.OPTIONS)
    except UnusableTool:
        raise
    except ValueError as error:
        raise UnusableTool(f"{name} has an unusable input schema: {str(error)[:100]}") from None
