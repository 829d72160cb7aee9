"""Request that would be sent to the other system, in reading order; a simulated one says so first."""

from __future__ import annotations

from typing import Any, Final

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from integrations.configuration.simulation import is_simulated
from integrations.connectors.url_forms import decode_form
from workitems.display.formats import duration_in_words, locale_named

_FIRST: Final = ("method", "url", "body", "form")


def what_is_sent(envelope: dict[str, Any]) -> dict[str, Any] | None:
    """Return the request of the envelope with its action first, and forms decoded; None if nothing would be sent."""
    request = envelope.get("request")
    if request is None:
        return None
    if isinstance(request.get("form"), str):
        request = {**request, "form": decode_form(request["form"])}
    simulated = {"simulated": True} if is_simulated_request(envelope) else {}
    ordered = {name: request[name] for name in _FIRST if name in request}
    return {
        **simulated,
        "action": envelope["action"]["id"],
        "integration": envelope["integration"]["id"],
        **ordered,
        **request,
    }


def is_simulated_request(envelope: dict[str, Any]) -> bool:
    """Return True if the integration version in the envelope simulates the call."""
    integration = envelope.get("integration")
    return isinstance(integration, dict) and is_simulated(integration["connector"])


def end_in_words(envelope: dict[str, Any]) -> str:
    """Return a sentence about the time after which Threada undoes the action by itself; empty if it does not."""
    ends = (envelope.get("action") or {}).get("undo_after")
    if ends is None:
        return ""
    after = duration_in_words(ends["after"], locale_named(get_language())) or ends["after"]
    said = _("It ends by itself %(after)s after it succeeds: Threada then executes %(undo)s.")
    return said % {"after": after, "undo": ends["action"]}
