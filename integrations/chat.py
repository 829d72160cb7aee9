"""Messages to chat services. Apprise writes the request in the service's own form; the one transport sends it.

Apprise's plug-ins call `requests` by the name in their own module. In the modules that are used here that name stands
for a recorder: a plug-in that "posts" writes its request down and is told that all went well. What is written down is
then checked and sent as any other request is, or refused. No plug-in reaches the network. See docs/adr/0017.

A message is one POST to one host. Only services that work so are offered, with the addresses Apprise documents for
them (`slack://…`, `mmosts://…`); such an address holds the channel's token and is a secret from end to end.
"""

from __future__ import annotations

import importlib
import re
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from integrations.attempt_failures import FailureClass, TransportFailure
from integrations.attempt_outcomes import Outcome
from integrations.documents.chat_actions import HOSTS
from integrations.response_outcomes import outcome_of_answer, outcome_of_status
from integrations.transport import OutboundRequest, UnusableUrl, read_url, send
from integrations.transport.client import FRAMING_HEADERS

if TYPE_CHECKING:
    from integrations.connectors.protocol import CallTerms

MAX_ANSWER_BYTES: Final = 64 * 1024
_SHORTEST_TOKEN: Final = 8


@dataclass(frozen=True, slots=True)
class Service:
    """A chat service: the plug-in that writes for it, and how its addresses begin."""

    module: str
    plugin: str
    schemes: tuple[str, ...]


SERVICES: Final = {
    "discord": Service("discord", "NotifyDiscord", ("discord",)),
    "google_chat": Service("google_chat", "NotifyGoogleChat", ("gchat",)),
    "gotify": Service("gotify", "NotifyGotify", ("gotify", "gotifys")),
    "mattermost": Service("mattermost", "NotifyMattermost", ("mmost", "mmosts")),
    "ntfy": Service("ntfy", "NotifyNtfy", ("ntfy", "ntfys")),
    "rocketchat": Service("rocketchat", "NotifyRocketChat", ("rocket", "rockets")),
    "slack": Service("slack", "NotifySlack", ("slack",)),
    "teams": Service("workflows", "NotifyWorkflows", ("workflow", "workflows")),
    "webhook": Service("custom_json", "NotifyJSON", ("json", "jsons")),
}
_PARAMETERS: Final = frozenset(
    {"api-version", "channel", "footer", "key", "mode", "priority", "tags", "thread", "to", "token"}
)
"""What may follow the question mark of an address. Apprise knows more: files to read, hosts to fetch from."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What is said. `title` may be empty."""

    body: str
    title: str = ""
    format: Literal["text", "markdown"] = "text"


@dataclass(frozen=True, slots=True)
class WrittenMessage:
    """The request that brings a message to its channel, and every text in it that must not be recorded."""

    request: OutboundRequest
    secrets: tuple[str, ...] = field(repr=False)


def base_url_of(service: str, base_url: str | None) -> str | None:
    """Where messages of `service` may go: its own host, or the customer's `base_url`; None when none is known."""
    return HOSTS.get(service) or base_url


def send_message(
    message: ChatMessage, *, service: str, address: str, base_url: str | None, terms: CallTerms
) -> Outcome:
    """Send `message` to the channel behind `address`, once. The outcome holds no part of the address.

    `base_url` names the host of a service without one of its own; no message goes to another.
    """
    try:
        written = write_message(message, service=service, address=address, user_agent=terms.user_agent)
        _check_host(written.request.url, base_url_of(service, base_url))
        answer = send(
            written.request,
            egress=terms.egress,
            timeout_s=terms.timeout_s,
            max_body_bytes=MAX_ANSWER_BYTES,
            network=terms.network,
            tls=terms.tls,
        )
    except TransportFailure as failure:
        judged = None if failure.status is None else outcome_of_status(failure.status)
        if judged is not None and (judged.succeeded or not judged.ambiguous):
            return judged  # the status alone says enough; the rest of the answer is of no use here
        return Outcome.of_failure(failure)
    judged = outcome_of_status(answer.status)
    return judged if judged.succeeded else outcome_of_answer(answer, now=terms.now, secrets=written.secrets)


def check_address(address: str, *, service: str, base_url: str | None) -> None:
    """Raise `TransportFailure` (`credential_unavailable`) unless messages to `address` can be written and stay with
    the service's host. Sends nothing."""
    written = write_message(ChatMessage("test"), service=service, address=address)
    _check_host(written.request.url, base_url_of(service, base_url))


def write_message(message: ChatMessage, *, service: str, address: str, user_agent: str = "Threada") -> WrittenMessage:
    """The one request that Apprise makes of `message`. Raises `TransportFailure` (`credential_unavailable`)."""
    if address.partition("://")[0].lower() not in SERVICES[service].schemes:
        raise _unusable(service)
    plugin_class = _plugin_class(service)
    posted: list[Any] = []
    token = _posted.set(posted)
    try:
        arguments = plugin_class.parse_url(address)
        if not arguments:
            raise _unusable(service)
        if not _parameters(arguments) <= _PARAMETERS:
            raise _unusable(service, f"has no parameters but {', '.join(sorted(_PARAMETERS))}")
        plugin = plugin_class(**arguments, asset=_asset())
        plugin.notify(
            body=message.body,
            title=message.title,
            notify_type=importlib.import_module("apprise.common").NotifyType.INFO,
            body_format=message.format,
        )
    except (TypeError, ValueError, KeyError, AttributeError, OSError):
        raise _unusable(service) from None
    finally:
        _posted.reset(token)
    if len(posted) != 1:
        raise _unusable(service, "stands for one channel, where a message is one request")
    return _written(posted[0], service, user_agent, address)


def _written(prepared: Any, service: str, user_agent: str, address: str) -> WrittenMessage:
    headers = tuple(
        (str(name), value.decode("latin-1") if isinstance(value, bytes) else str(value))
        for name, value in prepared.headers.items()
        if str(name).lower() not in FRAMING_HEADERS | {"user-agent", "accept-encoding"}
    )
    body = prepared.body or b""
    try:
        target = read_url(prepared.url)
        request = OutboundRequest(
            prepared.method,
            prepared.url,
            (*headers, ("User-Agent", user_agent)),
            body.encode() if isinstance(body, str) else bytes(body),
        )
    except (UnusableUrl, ValueError):
        raise _unusable(service) from None
    values = [value for name, value in headers if name.lower() not in ("content-type", "accept")]
    hidden = {address, request.url, target.path, *re.split(r"[/?&=]", target.path), *values}
    return WrittenMessage(
        request, tuple(sorted((text for text in hidden if len(text) >= _SHORTEST_TOKEN), key=len, reverse=True))
    )


def _parameters(arguments: dict[str, Any]) -> set[str]:
    """The names behind the question mark, as Apprise itself reads them; `+x`, `-x` and `:x` are never known."""
    marked = {f"{mark}{name}" for mark in "+-:" for name in arguments.get(f"qsd{mark}", ())}
    return set(arguments.get("qsd", ())) | marked


def _check_host(url: str, base_url: str | None) -> None:
    if base_url is None or read_url(url).origin != read_url(base_url).origin:
        detail = "The address of the channel leads to another host than the integration's own."
        raise TransportFailure(FailureClass.BLOCKED_ADDRESS, detail)


def _unusable(service: str, why: str = "") -> TransportFailure:
    schemes = " or ".join(f"{scheme}://" for scheme in SERVICES[service].schemes)
    detail = f"The secret is no address of a {service} channel ({schemes}…)" + (f", which {why}." if why else ".")
    return TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, detail)


class _Posted:
    """What a plug-in is told: sent, and well received."""

    status_code = 200
    content = b"ok"
    text = "ok"
    headers: Final[dict[str, str]] = {}


_posted: ContextVar[list[Any] | None] = ContextVar("posted", default=None)
_loading: Final = threading.Lock()


class _Recorder:
    """Stands where a plug-in has `requests`. It writes POSTs down and opens no connection."""

    def __init__(self, requests: Any) -> None:
        self._requests = requests
        self.codes = requests.codes
        self.exceptions = requests.exceptions
        self.RequestException = requests.RequestException

    def request(self, method: str, url: str, **options: Any) -> _Posted:
        posted = _posted.get()
        if posted is None or method.upper() != "POST" or options.get("files"):
            raise self.RequestException("This is not sent from here.")
        sent = {name: options.get(name) for name in ("headers", "data", "params", "auth", "json")}
        posted.append(self._requests.Request(method.upper(), url, **sent).prepare())
        return _Posted()

    def post(self, url: str, **options: Any) -> _Posted:
        return self.request("POST", url, **options)

    def __getattr__(self, name: str) -> Any:
        raise self._requests.RequestException(f"requests.{name} is not used from here.")


@cache
def _plugin_class(service: str) -> Any:
    """The plug-in's class, its module cut off from the network. Apprise is imported when first used: it is large."""
    with _loading:
        module = importlib.import_module(f"apprise.plugins.{SERVICES[service].module}")
        requests: Any = importlib.import_module("requests")
        module.requests = _Recorder(requests)  # type: ignore[attr-defined]
        return getattr(module, SERVICES[service].plugin)


@cache
def _asset() -> Any:
    """No files read or written, no pictures fetched from elsewhere, no name but ours."""
    apprise: Any = importlib.import_module("apprise")
    return apprise.AppriseAsset(
        app_id="Threada",
        app_desc="Threada",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        allow_templates=False,
        http_redirects=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )
