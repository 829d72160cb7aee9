"""Parsers of command arguments. They raise `ArgumentTypeError`, which ends with exit status 2."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import timedelta
from typing import Final

from django.utils.dateparse import parse_duration

from threada_site.identity.credentials import read_scopes
from threada_site.kernel.context import Scope
from threada_site.kernel.errors import InvalidRequest

_SHORT: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def duration(text: str) -> timedelta:
    """Parse `30d`, `12h`, `2w`, or an ISO 8601 duration without years and months (`P30D`, `PT8H`)."""
    match = _SHORT.fullmatch(text)
    if match:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    parsed = parse_duration(text) if text.startswith("P") else None
    if parsed is None:
        raise ArgumentTypeError(f"{text!r} is not a duration; write 30d, 12h, P30D or PT8H")
    return parsed


def scopes(text: str) -> frozenset[Scope]:
    """Parse scopes separated by white space or commas."""
    try:
        return read_scopes(text.replace(",", " ").split())
    except InvalidRequest as refusal:
        unknown = "; ".join(entry.detail for entry in refusal.errors)
        raise ArgumentTypeError(f"{unknown}. {refusal.detail}") from None
