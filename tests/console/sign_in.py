"""Console sessions for tests: a Django test client signed in as a principal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from django.test import Client

from threada_site.kernel import clock
from threada_site.tenancy.models import User

CONFIRMED = {"confirmed": "yes", "given_reason": "No longer needed."}
"""Fields that the page of confirmation adds to those of the button."""

type Console = Callable[[str], Client]


def confirm(browser: Client, address: str, sent: dict[str, Any] | None = None, **options: Any) -> Any:
    """Press a button and confirm on the page that it shows."""
    shown = re.findall(r'name="shown" value="(\w+)"', browser.post(address, sent).content.decode())
    return browser.post(address, {**CONFIRMED, **(sent or {}), "shown": "".join(shown)}, **options)


def sign_in(user: User) -> Client:
    """Return a client with a session of `user`."""
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client


def step_up(browser: Client) -> Client:
    """Let the session of `browser` have proved who its person is, just now."""
    session = browser.session
    session["reauthenticated_at"] = clock.now().timestamp()
    session.save()
    return browser
