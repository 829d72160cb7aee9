"""Documents of the `chat` connector.

connector: chat
service: mattermost                       # discord, google_chat, gotify, ntfy, rocketchat, slack, teams
base_url: https://chat.example.com        # only for services without a fixed host
address: {env: TEAM_CHAT}                 # the channel's address in Apprise's format: mmosts://chat.example.com/…
actions:
  tell_team: {title: "${item.id}", text: "Waits for ${item.payload.vendor}.", format: markdown}
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from integrations.documents import http_actions
from integrations.documents.fields import Fields
from integrations.documents.grammar import OUTBOUND_ACTION, OUTBOUND_SPEC, Destination, read_secret
from integrations.documents.templates import Place, Template
from integrations.transport.urls import Target, read_url

HOSTS: Final = {
    "discord": "https://discord.com",
    "google_chat": "https://chat.googleapis.com",
    "gotify": None,
    "mattermost": None,
    "ntfy": None,
    "rocketchat": None,
    "slack": "https://hooks.slack.com",
    "teams": None,
}
"""Supported services and their fixed host; None if every customer has another host."""


@dataclass(frozen=True, slots=True)
class ChatCall:
    """The message of an action, as templates."""

    text: Template
    title: Template
    format: Literal["text", "markdown"] = "text"


class ChatGrammar:
    spec_fields = OUTBOUND_SPEC | {"service", "base_url", "address"}

    def action_fields(self, slug: str) -> Collection[str]:
        return OUTBOUND_ACTION | {"title", "text", "format"}

    def read_spec(self, spec: Fields) -> Destination:
        service = spec.choice("service", HOSTS, required=True)
        address = read_secret(spec, "address", required=True)
        base_url: str | None
        origin: Target | None
        host = HOSTS.get(service or "")
        if service is None:
            base_url, origin = None, None
        elif host is None:
            base_url, origin = http_actions.read_base_url(spec)
        else:
            base_url, origin = host, read_url(host)
            if "base_url" in spec:
                spec.refuse(f"is not written for {service}: its messages go to {host}", "base_url")
        secrets = () if address is None else (address,)
        return Destination(base_url=base_url, origin=origin, secrets=secrets, settings=service)

    def read_call(self, slug: str, action: Fields, destination: Destination) -> ChatCall | None:
        if action.text("text", required=True) is None:
            return None
        return ChatCall(
            text=action.template("text", Place.TEXT),
            title=action.template("title", Place.TEXT) if "title" in action else Template(""),
            format="markdown" if action.choice("format", ("text", "markdown")) == "markdown" else "text",
        )
