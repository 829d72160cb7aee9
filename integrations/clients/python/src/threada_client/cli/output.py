"""Output of commands: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, ensure_ascii=True, indent=2))


def show_fields(resource: Mapping[str, Any], names: Sequence[str]) -> None:
    """Print the named fields that have a value, one a line."""
    rows = [(name, text_of(resource.get(name))) for name in names if resource.get(name) not in (None, [], "")]
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}")


def show_table(resources: Iterable[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Print one row for each resource, with a head."""
    rows = [tuple(text_of(resource.get(name)) for name in names) for resource in resources]
    widths = [max(len(row[place]) for row in [tuple(names), *rows]) for place in range(len(names))]
    for row in [tuple(names), *rows]:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def text_of(value: Any) -> str:
    """Return a value as one line in which a terminal finds nothing to obey."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=True)
    return "".join(
        sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in ("" if value is None else str(value))
    )
