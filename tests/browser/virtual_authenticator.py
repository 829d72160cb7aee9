"""Chromium's virtual authenticator, by its developer tools protocol."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page


class VirtualAuthenticator:
    """Authenticator of one page: with user verification, and passkeys that it finds itself.

    It answers at once while it `is_present`, also to the suggestions for the name on the sign-in page.
    """

    def __init__(self, page: Page, *, is_present: bool = True) -> None:
        self._session = page.context.new_cdp_session(page)
        self._session.send("WebAuthn.enable", {"enableUI": False})
        options = {
            "protocol": "ctap2",
            "ctap2Version": "ctap2_1",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": is_present,
        }
        self.id = self._session.send("WebAuthn.addVirtualAuthenticator", {"options": options})["authenticatorId"]

    def be_present(self, is_present: bool) -> None:
        self._send("setAutomaticPresenceSimulation", enabled=is_present)

    def verify(self, does_verify: bool) -> None:
        self._send("setUserVerified", isUserVerified=does_verify)

    def credentials(self) -> list[dict[str, Any]]:
        """Return the passkeys, with their private keys."""
        found: list[dict[str, Any]] = self._send("getCredentials")["credentials"]
        return found

    def add(self, credential: dict[str, Any]) -> None:
        """Add a passkey that another authenticator has."""
        self._send("addCredential", credential=credential)

    def _send(self, command: str, **arguments: Any) -> Any:
        return self._session.send(f"WebAuthn.{command}", {"authenticatorId": self.id, **arguments})  # type: ignore[arg-type]
