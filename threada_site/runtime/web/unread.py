"""Requests that the product refuses whatever their body says, so that the body need not be read."""

from __future__ import annotations

from typing import Any, Final

from threada_site.api.bodies import names_token
from workitems.executions.callbacks import is_callback_id

_CALLBACKS: Final = "/callbacks/"
_CONSOLE: Final = "/console/"


def answers_unread(environ: dict[str, Any]) -> bool:
    """Return True for a callback whose id is not signed, and for a call of the API without a well-formed token."""
    path = environ["PATH_INFO"]
    if path.startswith(_CALLBACKS):
        return not is_callback_id(path.removeprefix(_CALLBACKS))
    if path.startswith(_CONSOLE):
        return False
    return not names_token(environ)
