"""Chromium's virtual authenticator, by its developer tools protocol."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page


class VirtualAuthenticator:
    """Authenticator of one page: with user verification, and passkeys that it finds itself.

    It answers at once unless it is told not to, also to the suggestions for the name on the sign-in page.
    """

    def __init__(self, page: Page, *, answers: bool = True) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": answers,
        }
        self.id = self._session.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    def set_answering(self, answers: bool) -> None:
        self._send("setAutomaticPresenceSimulation", enabled=answers)

    def credentials(self) -> list[dict[str, Any]]:
        """Return the passkeys, with their private keys."""
        found: list[dict[str, Any]] = self._send("getCredentials")["credentials"]
        return found

    def _send(self, command: str, **arguments: Any) -> Any:
        return self._session.send(f"WebAuthn.{command}", {"authenticatorId": self.id, **arguments})  # type: ignore[arg-type]
