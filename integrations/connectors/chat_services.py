"""Messages to chat services. Apprise builds the request in the service's own format; the transport of this app sends
it.

Apprise's plug-ins call `requests` through the name in their own module. In the modules used here, that name is bound to
a recorder: a plug-in that "posts" records its request and receives a success response. The recorded request is then
checked and sent like any other request, or refused. No plug-in reaches the network. See docs/adr/0017.

A message is one POST to one host. Only services that work this way are offered, with the addresses that Apprise
documents for them (`slack://…`, `mmosts://…`). Such an address contains the token of the channel and is treated as a
secret.
"""

from __future__ import annotations

import importlib
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.attempts.outcomes import Outcome
from integrations.connectors.chat_files import with_files
from integrations.connectors.response_outcomes import outcome_of_answer, outcome_of_status
from integrations.documents.chat_actions import HOSTS
from integrations.transport import OutboundRequest, UnusableUrl, read_url, send
from integrations.transport.client import FRAMING_HEADERS

if TYPE_CHECKING:
    from integrations.connectors.protocol import CallTerms

MAX_ANSWER_BYTES: Final = 64 * 1024
_SHORTEST_TOKEN: Final = 8


@dataclass(frozen=True, slots=True)
class Service:
    """A chat service: its Apprise plug-in, and the URL schemes of its addresses."""

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
"""Allowed query parameters of an address. Apprise has more, such as files to read and hosts to fetch from."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """Content of a message. `title` may be empty."""

    body: str
    title: str = ""
    format: Literal["text", "markdown"] = "text"


@dataclass(frozen=True, slots=True)
class WrittenMessage:
    """The request for a message, and all texts in it that must not be recorded."""

    request: OutboundRequest
    secrets: tuple[str, ...] = field(repr=False)


def base_url_of(service: str, base_url: str | None) -> str | None:
    """Return the host of `service`, or the configured `base_url`, or None if there is neither."""
    return HOSTS.get(service) or base_url


def send_message(
    message: ChatMessage,
    *,
    service: str,
    address: str,
    base_url: str | None,
    terms: CallTerms,
    files: Sequence[Mapping[str, Any]] = (),
) -> Outcome:
    """Send `message` to the channel of `address`, once. The outcome contains no part of the address.

    `base_url` is the host of a service without a fixed one. No message is sent to another host.
    """
    try:
        written = write_message(message, service=service, address=address, user_agent=terms.user_agent)
        _check_host(written.request.url, base_url_of(service, base_url))
        answer = send(
            with_files(written.request, files, terms, service=service) if files else written.request,
            egress=terms.egress,
            timeout_s=terms.timeout_s,
            max_body_bytes=MAX_ANSWER_BYTES,
            network=terms.network,
            tls=terms.tls,
        )
    except TransportFailure as failure:
        judged = None if failure.status is None else outcome_of_status(failure.status)
        if judged is not None and (judged.succeeded or not judged.ambiguous):
            return judged  # the status alone decides; the rest of the response is not needed
        return Outcome.of_failure(failure)
    judged = outcome_of_status(answer.status)
    return judged if judged.succeeded else outcome_of_answer(answer, now=terms.now, secrets=written.secrets)


def check_address(address: str, *, service: str, base_url: str | None) -> None:
    """Raise `TransportFailure` (`credential_unavailable`) unless a message for `address` can be built for the service's
    host.

    Sends nothing.
    """
    written = write_message(ChatMessage("test"), service=service, address=address)
    _check_host(written.request.url, base_url_of(service, base_url))


def write_message(message: ChatMessage, *, service: str, address: str, user_agent: str = "Threada") -> WrittenMessage:
    """Return the request that Apprise builds for `message`. Raises `TransportFailure` (`credential_unavailable`)."""
    if address.partition("://")[0].lower() not in SERVICES[service].schemes:
        raise _unusable(service)
    plugin_class = _plugin_class(service)
    with _writing:
        posted = _posts_of(plugin_class, message, service=service, address=address)
    if len(posted) != 1:
        raise _unusable(service, "must name one channel, so that a message is one request")
    return _written(posted[0], service, user_agent, address)


def _posts_of(plugin_class: Any, message: ChatMessage, *, service: str, address: str) -> list[Any]:
    """Return the prepared POST requests of a plug-in. Its module has one recorder, so hold `_writing`."""
    posted: list[Any] = []
    _recorder_of(service).posted = posted
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
        _recorder_of(service).posted = None
    return posted


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
    """Return the names of the query parameters as Apprise parses them. `+x`, `-x` and `:x` are never allowed."""
    marked = {f"{mark}{name}" for mark in "+-:" for name in arguments.get(f"qsd{mark}", ())}
    return set(arguments.get("qsd", ())) | marked


def _check_host(url: str, base_url: str | None) -> None:
    if base_url is None or read_url(url).origin != read_url(base_url).origin:
        detail = "The address of the channel leads to another host than the integration's own."
        raise TransportFailure(FailureClass.BLOCKED_ADDRESS, detail)


def _unusable(service: str, why: str = "") -> TransportFailure:
    schemes = " or ".join(f"{scheme}://" for scheme in SERVICES[service].schemes)
    detail = f"The secret is not an address of a {service} channel ({schemes}…)" + (f", which {why}." if why else ".")
    return TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, detail)


class _Posted:
    """The success response that a plug-in receives."""

    status_code = 200
    content = b"ok"
    text = "ok"
    headers: Final[dict[str, str]] = {}


_loading: Final = threading.Lock()
_writing: Final = threading.Lock()


class _Recorder:
    """Replacement of `requests` in a plug-in's module. Records POST requests and opens no connection."""

    posted: list[Any] | None = None

    def __init__(self, requests: Any) -> None:
        self._requests = requests
        self.codes = requests.codes
        self.exceptions = requests.exceptions
        self.RequestException = requests.RequestException

    def request(self, method: str, url: str, **options: Any) -> _Posted:
        if self.posted is None or method.upper() != "POST" or options.get("files"):
            raise self.RequestException("This is not sent from here.")
        sent = {name: options.get(name) for name in ("headers", "data", "params", "auth", "json")}
        self.posted.append(self._requests.Request(method.upper(), url, **sent).prepare())
        return _Posted()

    def post(self, url: str, **options: Any) -> _Posted:
        return self.request("POST", url, **options)

    def __getattr__(self, name: str) -> Any:
        raise self._requests.RequestException(f"requests.{name} is not used from here.")


@cache
def _plugin_class(service: str) -> Any:
    """Return the plug-in's class, with its module disconnected from the network.

    Imports Apprise here, because it is large.
    """
    with _loading:
        module = importlib.import_module(f"apprise.plugins.{SERVICES[service].module}")
        requests: Any = importlib.import_module("requests")
        module.requests = _Recorder(requests)  # type: ignore[attr-defined]
        return getattr(module, SERVICES[service].plugin)


def _recorder_of(service: str) -> _Recorder:
    module = importlib.import_module(f"apprise.plugins.{SERVICES[service].module}")
    recorder: _Recorder = module.requests
    return recorder


@cache
def _asset() -> Any:
    """Return Apprise settings without files, remote images and foreign names."""
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
