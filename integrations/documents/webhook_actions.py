"""Documents of the `webhook` connector: messages according to Standard Webhooks.

connector: webhook
base_url: https://receiver.example/threada
secrets: [{env: HOOK_KEY}, {env: HOOK_KEY_BEFORE}]    # one, or two during a key rotation: both sign
actions:
  case_ready:
    path: /cases                          # appended to the base_url; default: none
    type: case.ready                      # default: the action's name
    data: {id: "${item.id}", amount_minor: "${item.payload.amount_minor}"}
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from integrations.documents import http_actions
from integrations.documents.fields import Fields
from integrations.documents.grammar import (
    ANSWERED_LATER_ACTION,
    ANSWERED_LATER_SPEC,
    OUTBOUND_ACTION,
    OUTBOUND_SPEC,
    Destination,
    read_secrets,
)
from integrations.documents.templates import Place, Template

MOST_KEYS: Final = 2


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """The message of an action, as templates."""

    path: Template
    type: Template
    data: Template
    headers: tuple[tuple[str, Template], ...] = ()


class WebhookGrammar:
    spec_fields = OUTBOUND_SPEC | ANSWERED_LATER_SPEC | {"base_url", "secrets"}

    def action_fields(self, slug: str) -> Collection[str]:
        return OUTBOUND_ACTION | ANSWERED_LATER_ACTION | {"path", "type", "data", "headers"}

    def read_spec(self, spec: Fields) -> Destination:
        base_url, origin = http_actions.read_base_url(spec)
        return Destination(base_url=base_url, origin=origin, secrets=read_secrets(spec, "secrets", most=MOST_KEYS))

    def read_call(self, slug: str, action: Fields, destination: Destination) -> WebhookCall:
        if "type" in action:
            action.text("type")
        return WebhookCall(
            path=http_actions.read_path(action, destination.base_url) if "path" in action else Template(""),
            type=action.template("type", Place.TEXT) if "type" in action else Template(slug),
            data=action.template("data") if "data" in action else Template({}),
            headers=http_actions.read_headers(action),
        )
