"""Exit codes of the command."""

from __future__ import annotations

import sys
from typing import Final

import click

from threada_client.errors import (
    ConnectionFailed,
    NotAuthorized,
    Refused,
    RefusedByPolicy,
    ThreadaError,
    ValidationFailed,
    WaitTimedOut,
)

NEGATIVE: Final = 1
"""The answer is no: not verified, rejected or failed."""
INVALID: Final = 3
NOT_AUTHORIZED: Final = 4
BY_POLICY: Final = 5
UNAVAILABLE: Final = 6
TIMED_OUT: Final = 7
CHANGES: Final = 8
"""A plan has changes, under `--exit-code`."""


def exit_code(error: ThreadaError) -> int:
    """Return the exit code for a failure of a call."""
    if isinstance(error, WaitTimedOut):
        return TIMED_OUT
    for kind, code in ((ValidationFailed, INVALID), (NotAuthorized, NOT_AUTHORIZED), (RefusedByPolicy, BY_POLICY)):
        if isinstance(error, kind):
            return code
    return UNAVAILABLE


def end_with(error: ThreadaError) -> None:
    """Print a failure and exit."""
    from threada_client.cli.output import text_of

    if isinstance(error, Refused):
        click.echo(f"{text_of(error.reason_code)}: {text_of(error.detail)}", err=True)
        for entry in error.errors:
            line = f", line {text_of(entry['line'])}" if "line" in entry else ""
            click.echo(f"  {text_of(entry.get('pointer', ''))}{line}: {text_of(entry.get('detail', ''))}", err=True)
        click.echo(f"Correlation id: {text_of(error.correlation_id)}", err=True)
    else:
        place = " The server may have acted." if isinstance(error, ConnectionFailed) else ""
        click.echo(f"{text_of(error)}{place}", err=True)
    sys.exit(exit_code(error))
