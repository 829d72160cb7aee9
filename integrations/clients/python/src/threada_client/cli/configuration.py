"""Commands about configuration files: plan, apply."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from threada_client.cli.credentials import client
from threada_client.cli.exit_codes import CHANGES
from threada_client.cli.output import show_json, text_of

_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
_MARKS: Final = {"created": "+", "changed": "~", "removed": "-"}
_path = click.argument("path", type=click.Path(exists=True, path_type=Path))
_prune = click.option("--prune", is_flag=True, help="Also remove what no document describes.")
_strict = click.option("--strict", is_flag=True, help="Refuse documents with warnings.")
_json = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.command()
@_path
@_prune
@_strict
@click.option("--exit-code", is_flag=True, help=f"Exit with {CHANGES} if something would change.")
@_json
def plan(path: Path, prune: bool, strict: bool, exit_code: bool, is_json: bool) -> None:
    """Show what `apply` would change with the documents of PATH, a file or folder."""
    with client() as threada:
        found = threada.plan_configuration(read_files(path), prune=prune, strict=strict)
    if is_json:
        show_json(found)
    else:
        _show(found, verb="would be changed")
        if found["needs_confirmation"]:
            click.echo("A second person must publish these changes.")
    if exit_code and found["has_changes"]:
        sys.exit(CHANGES)


@click.command()
@_path
@_prune
@_strict
@click.option("--digest", help="Digest of the plan to apply. Default: that of a plan made now.")
@click.option("--revision", default="", help="Revision of the files, for example a git commit.")
@_json
def apply(path: Path, prune: bool, strict: bool, digest: str | None, revision: str, is_json: bool) -> None:
    """Put the documents of PATH in force: all of them or none."""
    files = read_files(path)
    with client() as threada:
        if digest is None:
            digest = threada.plan_configuration(files, prune=prune, strict=strict)["digest"]
        done: Mapping[str, Any] = threada.apply_configuration(
            files, digest, prune=prune, strict=strict, revision=revision
        )
    if is_json:
        show_json(done)
    elif "change_set_id" in done:
        click.echo(f"Nothing is changed yet. A second person must publish {text_of(done['change_set_id'])}.")
    else:
        _show(done, verb="changed")


def read_files(path: Path) -> dict[str, str]:
    """Return the texts of a file, or of the YAML and JSON files of a folder without hidden ones, by their paths."""
    files = [path]
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.suffix in _SUFFIXES)
        files = sorted(file for file in found if not any(part[0] == "." for part in file.relative_to(path).parts))
    if not files:
        raise click.UsageError(f"There are no documents below {path}.")
    try:
        return {file.as_posix(): file.read_text(encoding="utf-8") for file in files}
    except (OSError, UnicodeDecodeError) as wrong:
        raise click.UsageError(f"{path}: {wrong}") from None


def _show(answer: Mapping[str, Any], *, verb: str) -> None:
    for entry in answer["changes"]:
        click.echo(f"{_MARKS[entry['change']]} {text_of(entry['kind'])} {text_of(entry['name'])}")
        for line in entry["difference"].splitlines():
            click.echo(f"    {text_of(line)}")
    for entry in answer.get("left", ()):
        click.echo(f"? {text_of(entry['kind'])} {text_of(entry['name'])} (in no document; --prune removes it)")
    for warning in answer["warnings"]:
        click.echo(f"warning: {text_of(warning['detail'])}", err=True)
    click.echo(f"{text_of(answer['documents'])} documents, {len(answer['changes'])} {verb}.")
