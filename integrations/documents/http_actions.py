"""Documents of the `http` connector."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from integrations.documents.fields import Fields
from integrations.documents.grammar import (
    ANSWERED_LATER_ACTION,
    ANSWERED_LATER_SPEC,
    OUTBOUND_ACTION,
    OUTBOUND_SPEC,
    Destination,
    read_secret,
)
from integrations.documents.model import Authentication, HttpCall
from integrations.documents.templates import Parts, Place, Template, climbs
from integrations.transport.client import FRAMING_HEADERS, is_header_name, is_header_value
from integrations.transport.urls import Target, UnusableUrl, read_url

METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
OWN_HEADERS: Final = FRAMING_HEADERS | {
    "accept-encoding",
    "authorization",
    "cookie",
    "idempotency-key",
    "proxy-authorization",
    "threada-callback-url",
    "traceparent",
    "tracestate",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
}
"""Headers that the connector or the transport sets, or that no action may set."""
_SAMPLE: Final = "x"


class HttpGrammar:
    spec_fields = OUTBOUND_SPEC | ANSWERED_LATER_SPEC | {"base_url", "auth"}

    def action_fields(self, slug: str) -> Collection[str]:
        return OUTBOUND_ACTION | ANSWERED_LATER_ACTION | {"method", "path", "query", "headers", "body"}

    def read_spec(self, spec: Fields) -> Destination:
        base_url, origin = read_base_url(spec)
        return Destination(base_url=base_url, origin=origin, auth=read_auth(spec))

    def read_call(self, slug: str, action: Fields, destination: Destination) -> HttpCall:
        return _read_call(action, destination.base_url)


def read_base_url(spec: Fields) -> tuple[str | None, Target | None]:
    """Return the base URL without a trailing slash, and its origin."""
    text = spec.text("base_url", required=True)
    if text is None:
        return None, None
    if "@" in text or "?" in text or "#" in text:
        spec.refuse("must be scheme://host[:port][/path], without user, query and fragment", "base_url")
        return None, None
    try:
        target = read_url(text)
    except UnusableUrl as error:
        spec.refuse(str(error), "base_url")
        return None, None
    if climbs(target.path):
        spec.refuse("must not hold the segments . and ..", "base_url")
        return None, None
    return f"{target.scheme}://{target.authority}{target.path.rstrip('/')}", target


def read_auth(spec: Fields) -> Authentication | None:
    """Return the authentication: `{scheme: bearer, secret}` or `{scheme: basic, username, secret}`."""
    if "auth" not in spec:
        return None
    auth = spec.object("auth", known=("scheme", "username", "secret"))
    scheme = auth.choice("scheme", ("bearer", "basic"), required=True)
    username = auth.text("username", required=scheme == "basic")
    if scheme == "bearer" and username is not None:
        auth.refuse("belongs to the scheme basic alone", "username")
    if username is not None and (":" in username or any(character < " " for character in username)):
        auth.refuse("must not hold colons or control characters", "username")
    reference = read_secret(auth, "secret", required=True)
    if reference is None:
        return None
    if scheme == "basic":
        return Authentication("basic", reference, username)
    return Authentication("bearer", reference)


def _read_call(action: Fields, base_url: str | None) -> HttpCall:
    """Return method, path, query, headers and body of one action."""
    method = action.choice("method", METHODS, required=True) or "POST"
    if "body" in action and method == "GET":
        action.refuse("is not sent with GET. Use query, or another method", "body")
    return HttpCall(
        method=method,
        path=read_path(action, base_url),
        query=_read_query(action),
        headers=read_headers(action),
        body=action.template("body") if "body" in action else None,
    )


def read_path(action: Fields, base_url: str | None) -> Template:
    if action.text("path", required=True) is None:
        return Template("/")
    template = action.template("path", Place.PATH)
    parts = template.node.parts if isinstance(template.node, Parts) else (template.node or "/",)
    sample = "".join(part if isinstance(part, str) else _SAMPLE for part in parts)
    if not sample.startswith("/"):
        action.refuse("must begin with /", "path")
    elif "?" in sample:
        action.refuse("must not hold a query. Write it under query", "path")
    elif climbs(sample):
        action.refuse("must not hold the segments . and ..", "path")
    else:
        try:
            read_url((base_url or "http://host") + sample)
        except UnusableUrl as error:
            action.refuse(str(error), "path")
    return template


def _read_query(action: Fields) -> tuple[tuple[str, Template], ...]:
    query = action.object("query")
    for name in query.names():
        if isinstance(query.raw(name), dict | list) or query.raw(name) is None:
            query.refuse("must be text, a number, true, false, or one ${ … }", name, code="type")
    return tuple((name, query.template(name)) for name in query.names())


def read_headers(action: Fields) -> tuple[tuple[str, Template], ...]:
    headers = action.object("headers")
    seen: set[str] = set()
    for name in headers.names():
        if not is_header_name(name):
            headers.refuse("is no header name", name)
        elif name.lower() in OWN_HEADERS:
            headers.refuse("is set by Threada itself; authentication is written under auth", name)
        elif name.lower() in seen:
            headers.refuse("occurs twice", name)
        seen.add(name.lower())
        value = headers.raw(name)
        if not isinstance(value, str):
            headers.refuse("must be a string. Quote it", name, code="type")
        elif "${" not in value and not is_header_value(value):
            headers.refuse("must be Latin-1 without control characters and not padded", name)
    return tuple((name, headers.template(name, Place.HEADER)) for name in headers.names())
