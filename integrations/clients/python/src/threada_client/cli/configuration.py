"""Commands about configuration files: plan, apply."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from threada_client.cli.credentials import client
from threada_client.cli.exit_codes import NEGATIVE
from threada_client.cli.output import show_json, show_table

_COLUMNS = ("change", "kind", "name")
paths = click.argument("path", type=click.Path(exists=True, path_type=Path))
prune = click.option("--prune", is_flag=True, help="Also remove what no document describes.")
as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.command()
@paths
@prune
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there are changes.")
@as_json
def plan(path: Path, prune: bool, exit_code: bool, is_json: bool) -> None:
    """Show the changes that `apply` would make with the documents of PATH, a file or folder."""
    with client() as threada:
        answer = threada.plan_configuration(read_documents(path), prune=prune)
    _show(answer, is_json=is_json)
    if exit_code and _changes(answer):
        sys.exit(NEGATIVE)


@click.command()
@paths
@prune
@click.option("--revision", default="", help="Revision of the files, for example a git commit.")
@as_json
def apply(path: Path, prune: bool, revision: str, is_json: bool) -> None:
    """Put the documents of PATH in force: all of them or none."""
    options = {"revision": revision} if revision else {}
    with client() as threada:
        answer = threada.apply_configuration(read_documents(path), prune=prune, **options)
    _show(answer, is_json=is_json)


def read_documents(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML or JSON file, or of those of a folder, in the order of their names."""
    files = (
        sorted(file for file in path.rglob("*") if file.suffix in {".yaml", ".yml", ".json"})
        if path.is_dir()
        else [path]
    )
    documents: list[dict[str, Any]] = []
    for file in files:
        text = file.read_text(encoding="utf-8")
        try:
            found = [json.loads(text)] if file.suffix == ".json" else list(yaml.safe_load_all(text))
        except (ValueError, yaml.YAMLError) as wrong:
            raise click.UsageError(f"{file}: {wrong}") from None
        documents += [document for document in found if document is not None]
    if not documents:
        raise click.UsageError(f"{path} contains no documents.")
    return documents


def _changes(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in answer.get("changes", ()) if entry.get("change") != "unchanged"]


def _show(answer: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        show_json(answer)
    else:
        show_table(_changes(answer), _COLUMNS)
