"""Console sessions for tests: a Django test client signed in as a principal."""

from __future__ import annotations

from collections.abc import Callable

from django.test import Client

from threada_site.tenancy.models import User

CONFIRMED = {"confirmed": "yes", "given_reason": "No longer needed."}
"""Fields that the page of confirmation adds to those of the button."""

type Console = Callable[[str], Client]


def sign_in(user: User) -> Client:
    """Return a client with a session of `user`."""
    client = Client(enforce_csrf_checks=False)
    client.force_login(user)
    return client
