"""Documents of the `chat` connector.

connector: chat
service: mattermost                       # discord, google_chat, gotify, ntfy, rocketchat, slack, teams
base_url: https://chat.example.com        # only for services without a fixed host
address: {env: TEAM_CHAT}                 # the channel's address in Apprise's format: mmosts://chat.example.com/…
actions:
  tell_team: {title: "${item.id}", text: "Waits for ${item.payload.vendor}.", format: markdown}
  send_invoice: {text: "The invoice.", files: ["${item.payload.invoice}"]}    # discord and ntfy only
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from integrations.documents import http_actions
from integrations.documents.fields import Fields
from integrations.documents.files import files_schema, read_files
from integrations.documents.grammar import Destination, read_secrets
from integrations.documents.schema import BASE_URL, SECRET, filled_text, integration_schema
from integrations.documents.templates import Place, Template
from integrations.transport.urls import read_url
from threada_site.kernel.documents.structure import Schema

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
WITH_FILES: Final = {"discord": 10, "ntfy": 1}
"""Services whose channel takes a message together with files, in one request, and the most files of a message.

Incoming webhooks of the others take none: Slack and Mattermost need a bot and several calls to upload a file.
"""


@dataclass(frozen=True, slots=True)
class ChatCall:
    """The message of an action, as templates."""

    text: Template
    title: Template
    format: Literal["text", "markdown"] = "text"
    files: tuple[Template, ...] = ()


def _service(*, has_host: bool) -> Schema:
    names = [name for name, host in HOSTS.items() if (host is not None) is has_host]
    return {"properties": {"service": {"enum": names}}, "required": ["service"]}


class ChatGrammar:
    schema = integration_schema(
        {
            "service": {"enum": sorted(HOSTS), "title": "chat service", "description": "Service of the channel."},
            "base_url": BASE_URL,
            "address": {**SECRET, "description": "The channel's address in Apprise's format, a secret."},
        },
        required=("service", "address"),
        action={
            "title": {
                "type": ["string", "number", "boolean"],
                "default": "",
                "description": "Title of the message; can contain ${ … }.",
                "examples": ["Payment of ${item.payload.vendor}"],
            },
            "text": filled_text(
                "Text of the message; can contain ${ … }.", examples=["${item.payload.vendor} was paid."]
            ),
            "format": {"enum": ["text", "markdown"], "default": "text", "description": "Format of the text."},
            "files": files_schema("Attachments, at most 10 MiB together: ten with discord, one with ntfy.", 10),
        },
        action_required=("text",),
        allOf=[
            {
                "if": _service(has_host=False),
                "then": {"required": ["base_url"]},
            },
            {
                "if": _service(has_host=True),
                "then": {
                    "properties": {
                        "base_url": {
                            "not": {},
                            "errorMessage": "Remove base_url: messages of this service go to its own host.",
                        }
                    }
                },
            },
        ],
        description="Channel of a chat service.",
    )

    def read_spec(self, spec: Fields) -> Destination:
        service = spec.value("service")
        host = HOSTS.get(service or "")
        base_url, origin = (host, read_url(host)) if host else http_actions.read_base_url(spec)
        return Destination(base_url=base_url, origin=origin, secrets=read_secrets(spec, "address"), settings=service)

    def read_call(self, slug: str, action: Fields, destination: Destination) -> ChatCall:
        if "files" in action and destination.settings is not None:
            _check_files(str(destination.settings), action)
        return ChatCall(
            text=action.template("text", Place.TEXT),
            title=action.template("title", Place.TEXT, default=""),
            format=action.value("format", "text"),
            files=read_files(action),
        )


def _check_files(service: str, action: Fields) -> None:
    """Report files that a channel of the service does not take."""
    most = WITH_FILES.get(service, 0)
    if not most:
        action.refuse(
            f"Channels of {service} take no files. Send a link in the text, or use {' or '.join(WITH_FILES)}, "
            "or the connector mail or webhook.",
            "files",
        )
    elif len(action.value("files", [])) > most:
        action.refuse(f"A message of {service} takes {most} file{'s' if most > 1 else ''}.", "files")
