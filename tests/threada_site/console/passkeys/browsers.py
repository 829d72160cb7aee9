"""Browsers with an authenticator, which use passkeys over the addresses of the console."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from tests.authenticator import Authenticator
from tests.factories import PASSWORD
from threada_site.tenancy.models import User

LOCALHOST: dict[str, Any] = {"HTTP_HOST": "localhost:8000"}
PASSKEYS = "/console/passkeys/"
FACTORS = "/console/second-factors/"


class Browser(Client):
    """Browser at http://localhost:8000 with an authenticator. Each may be shared with other browsers."""

    def __init__(self, own: Authenticator | None = None) -> None:
        super().__init__(**LOCALHOST)
        self.own = own or Authenticator()

    def open_session(self, name: str, password: str = PASSWORD) -> Any:
        """Sign in with a password."""
        self.get("/console/login/")
        return self.post("/console/login/", {"username": name, "password": password, "next": "/console/"})

    def ask(self, address: str) -> Any:
        """Return the answer to a request for options: `publicKey` and `ceremony`."""
        return self.post(f"{PASSKEYS}{address}").json()

    def register(self, label: str = "Laptop", **wrong: Any) -> Any:
        """Register a passkey. Needs a session with a recent proof."""
        asked = self.ask("registration/")
        answer = self.own.create(asked["publicKey"], **wrong)
        return self.send(FACTORS, asked["ceremony"], answer, do="register", label=label)

    def start(self, address: str = "sign-in/", **wrong: Any) -> dict[str, str]:
        """Return what the page sends after the passkey was used, without sending it."""
        asked = self.ask(f"{address}options/")
        answer = self.own.get(asked["publicKey"], **wrong)
        return {"ceremony": asked["ceremony"], "credential": json.dumps(answer)}

    def sign_in(self, **wrong: Any) -> Any:
        """Sign in with a passkey alone."""
        self.get("/console/login/")
        return self.post(f"{PASSKEYS}sign-in/", self.start(**wrong))

    def step_up(self, **wrong: Any) -> Any:
        return self.post(f"{PASSKEYS}step-up/", self.start("step-up/", **wrong))

    def send(self, address: str, ceremony: str, answer: Any, **more: str) -> Any:
        return self.post(address, {"ceremony": ceremony, "credential": json.dumps(answer), **more})


def with_passkey(person: User, own: Authenticator | None = None) -> Browser:
    """Return a browser of a person who has registered a passkey in a session with a password."""
    browser = Browser(own)
    assert browser.open_session(person.username).status_code == 302
    registered = browser.register()
    assert registered.status_code in (200, 302), registered.content.decode()  # 200 shows recovery codes
    return browser


def reason_of(answer: Any) -> str:
    """Return the reason code of a refusal, in a page or a problem document."""
    assert answer.status_code >= 400, answer
    if answer["Content-Type"].startswith("application/problem+json"):
        return str(answer.json()["reason_code"])
    return str(answer.content.decode().split("<code>")[1].split("</code>")[0])
