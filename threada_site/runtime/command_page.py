"""The reference page of all management commands of the product, as Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

_INTRODUCTION: Final = """\
# Commands

`uv run manage.py COMMAND`, or `threada COMMAND` where Threada is installed as a package. `--help` prints what this page
says. Exit status: 0 success, 1 refused with the reason on standard error, 2 wrong usage; commands that differ say so.

This page is written by `manage.py write_commands`. Commands of Django and of libraries are left out.
"""
_APPLICATIONS: Final = frozenset({"threada_site", "workitems", "policies", "integrations", "telemetry"})
_WRITES_A_FILE_OF_THE_REPOSITORY: Final = "write_"
_WIDTH: Final = 100


def commands_markdown() -> str:
    """Return the page with purpose and usage of each command."""
    parts = [_INTRODUCTION]
    for name, application in sorted(get_commands().items()):
        own = isinstance(application, str) and application.partition(".")[0] in _APPLICATIONS
        if own and not name.startswith(_WRITES_A_FILE_OF_THE_REPOSITORY):
            parts.append("\n".join(_section(name, load_command_class(application, name))))
    return "\n".join(parts)


class _Parser(argparse.ArgumentParser):
    """Parser that remembers the parsers of its subcommands, which have the same class."""

    made: list[argparse.ArgumentParser]

    def __init__(self, **options: Any) -> None:
        options.pop("called_from_command_line", None)
        formatter = partial(argparse.HelpFormatter, width=_WIDTH, max_help_position=32)
        super().__init__(**options | {"formatter_class": formatter, "add_help": False})
        self.made.append(self)


def _section(name: str, command: BaseCommand) -> Iterator[str]:
    """Yield heading, purpose, and the usage of the command and its subcommands without the options of Django."""
    made: list[argparse.ArgumentParser] = []
    command.add_arguments(type("_Recorded", (_Parser,), {"made": made})(prog=name))  # type: ignore[arg-type]
    yield f"## {name}\n"
    yield f"{command.help}\n"
    yield "```text"
    yield "\n".join(parser.format_help() for parser in made).rstrip()
    yield "```\n"
