"""Documents of the `webhook` connector: messages according to Standard Webhooks.

connector: webhook
base_url: https://receiver.example/threada
secrets: [{env: HOOK_KEY}, {env: HOOK_KEY_BEFORE}]    # one, or two during a key rotation: both sign
actions:
  case_ready:
    path: /cases                          # appended to the base_url; default: none
    type: case.ready                      # default: the action's name
    data: {id: "${item.id}", amount_minor: "${item.payload.amount_minor}"}
    files: ["${item.payload.invoice}"]    # attachments; the message contains their names, sizes and digests
    files_as: multipart                   # base64 (default): inside of the message; multipart: parts beside it
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from integrations.documents import http_actions
from integrations.documents.fields import Fields
from integrations.documents.files import files_schema, read_files
from integrations.documents.grammar import Destination, read_secrets
from integrations.documents.schema import BASE_URL, HEADERS, filled_text, integration_schema, secrets
from integrations.documents.templates import Place, Template

MOST_KEYS: Final = 2


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """The message of an action, as templates."""

    path: Template
    type: Template
    data: Template
    headers: tuple[tuple[str, Template], ...] = ()
    files: tuple[Template, ...] = ()
    files_as: Literal["base64", "multipart"] = "base64"


class WebhookGrammar:
    schema = integration_schema(
        {"base_url": BASE_URL, "secrets": secrets(MOST_KEYS, "Keys that sign messages: two during a rotation.")},
        required=("base_url", "secrets"),
        action={
            "path": filled_text("Appended to base_url; can contain ${ … }.", examples=["/cases"]),
            "type": filled_text("Type of the message. Default: the action's name.", examples=["case.ready"]),
            "data": {
                "default": {},
                "description": "Data of the message; strings of the form ${ … } are expressions.",
                "examples": [{"id": "${item.id}"}],
            },
            "headers": HEADERS,
            "files": files_schema("Attachments that are sent with the message."),
            "files_as": {
                "enum": ["base64", "multipart"],
                "default": "base64",
                "description": "`base64`: inside of the message. `multipart`: a form with the message and the files.",
            },
        },
        has_callbacks=True,
        description="Receiver of messages according to Standard Webhooks.",
    )

    def read_spec(self, spec: Fields) -> Destination:
        base_url, origin = http_actions.read_base_url(spec)
        return Destination(base_url=base_url, origin=origin, secrets=read_secrets(spec, "secrets"))

    def read_call(self, slug: str, action: Fields, destination: Destination) -> WebhookCall:
        if action.value("files_as") == "multipart":
            if "files" not in action:
                action.refuse("files_as needs files.", "files_as")
            if "content-type" in {name.lower() for name in action.object("headers").names()}:
                action.refuse("The type of a form is set by Threada itself. Remove Content-Type.", "headers")
        return WebhookCall(
            path=http_actions.read_path(action, destination.base_url) if "path" in action else Template(""),
            type=action.template("type", Place.TEXT, default=slug),
            data=action.template("data", default={}),
            headers=http_actions.read_headers(action, destination),
            files=read_files(action),
            files_as=action.value("files_as", "base64"),
        )
