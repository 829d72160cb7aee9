"""Documents of the `http` connector."""

from __future__ import annotations

from typing import Final

from integrations.documents.auth_schemes import AUTH, OWN_HEADERS, read_auth
from integrations.documents.fields import Fields
from integrations.documents.grammar import Destination
from integrations.documents.model import HttpCall, HttpPart
from integrations.documents.schema import BASE_URL, HEADERS, filled_text, integration_schema
from integrations.documents.success import SUCCEEDS_WHEN, TESTS, read_answer_tests, read_condition
from integrations.documents.templates import Parts, Place, Template, climbs
from integrations.transport.client import is_header_name
from integrations.transport.urls import Target, UnusableUrl, read_url
from threada_site.kernel.documents.structure import closed_object
from threada_site.kernel.templates import is_header_value

METHODS: Final = ["DELETE", "GET", "PATCH", "POST", "PUT"]
_SAMPLE: Final = "x"
_BODIES: Final = ("body", "form", "file", "multipart")
"""Members of an action that say what is sent. An action has at most one of them."""
_PART: Final = closed_object(
    {
        "name": filled_text("Name of the part.", pattern='^[^"\\x00-\\x1f]{1,100}$', examples=["invoice"]),
        "value": {
            "type": ["string", "number", "boolean"],
            "description": "Text of the part; can contain ${ … }.",
            "examples": ["${item.payload.vendor}"],
        },
        "file": filled_text(
            "Instead of value: an attachment of the payload, as one ${ … }.", examples=["${item.payload.invoice}"]
        ),
    },
    required=("name",),
    description="One part of a form.",
)
_FIELD_ADVICE: Final = "Write text, a number, true, false, one ${ … }, or a list of them."
_ACTION: Final = {
    "properties": {
        "method": {"enum": METHODS, "title": "method", "description": "HTTP method.", "examples": ["POST"]},
        "path": filled_text(
            "Appended to base_url; can contain ${ … }.", examples=["/accounts/${item.payload.account}/payments"]
        ),
        "query": {
            "type": "object",
            "additionalProperties": {
                "type": ["string", "number", "boolean"],
                "errorMessage": "Write text, a number, true, false, or one ${ … }.",
            },
            "description": "Query parameters; values can be one ${ … }.",
            "examples": [{"dry_run": False, "account": "${item.payload.account}"}],
        },
        "headers": HEADERS,
        "body": {
            "description": "JSON body; strings of the form ${ … } are expressions.",
            "examples": [{"vendor": "${item.payload.vendor}", "amount_minor": "${item.payload.amount_minor}"}],
        },
        "form": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"minLength": 1, "errorMessage": "Give each field of the form a name."},
            "additionalProperties": {
                "type": ["string", "number", "boolean", "array"],
                "items": {"type": ["string", "number", "boolean"], "errorMessage": _FIELD_ADVICE},
                "errorMessage": _FIELD_ADVICE,
            },
            "description": "Instead of body: the fields of a form (application/x-www-form-urlencoded). A list gives "
            "one field for each of its values.",
            "examples": [{"channel": "C0123456", "text": "${item.payload.text}"}],
            "errorMessage": "Write the fields of the form by name: at least one, each with a name.",
        },
        "file": filled_text(
            "Instead of body: an attachment of the payload, sent as it is.", examples=["${item.payload.invoice}"]
        ),
        "multipart": {
            "type": "array",
            "minItems": 1,
            "maxItems": 50,
            "items": _PART,
            "description": "Instead of body: the parts of a form (multipart/form-data), texts and attachments.",
            "examples": [[{"name": "invoice", "file": "${item.payload.invoice}"}]],
        },
        "succeeds_when": SUCCEEDS_WHEN,
    },
    "if": {"properties": {"method": {"const": "GET"}}, "required": ["method"]},
    "then": {
        "properties": {
            name: {"not": {}, "errorMessage": "A body is not sent with GET. Use query, or another method."}
            for name in _BODIES
        }
    },
}


class HttpGrammar:
    schema = integration_schema(
        {"base_url": BASE_URL, "auth": AUTH, "tests": TESTS},
        required=("base_url",),
        action=_ACTION,
        action_required=("method", "path"),
        has_callbacks=True,
        description="HTTP API of an external system.",
    )

    def read_spec(self, spec: Fields) -> Destination:
        base_url, origin = read_base_url(spec)
        auth = read_auth(spec.object("auth"), origin)
        return Destination(base_url=base_url, origin=origin, auth=auth, settings=read_answer_tests(spec))

    def read_call(self, slug: str, action: Fields, destination: Destination) -> HttpCall:
        bodies = [name for name in _BODIES if name in action]
        for name in bodies[1:]:
            action.refuse(f"Write {bodies[0]} or {name}, not both.", name)
        headers = {name.lower() for name in action.object("headers").names()}
        if not {"form", "multipart"}.isdisjoint(bodies) and "content-type" in headers:
            action.refuse("The type of a form is set by Threada itself. Remove Content-Type.", "headers")
        return HttpCall(
            method=action.value("method", "POST"),
            path=read_path(action, destination.base_url),
            query=_read_query(action),
            headers=read_headers(action, destination),
            body=action.template("body") if "body" in action else None,
            form=action.template("form") if "form" in action else None,
            file=action.template("file") if "file" in action else None,
            multipart=_read_parts(action),
            succeeds_when=read_condition(action),
        )


def _read_parts(action: Fields) -> tuple[HttpPart, ...]:
    parts = []
    for place, written in enumerate(action.value("multipart", [])):
        part = Fields(written, action.pointer("multipart", place), action.errors)
        if ("value" in part) == ("file" in part):
            part.refuse("Write value or file.", "value")
        parts.append(
            HttpPart(
                name=part.value("name", ""),
                value=part.template("value") if "value" in part else None,
                file=part.template("file") if "file" in part else None,
            )
        )
    return tuple(parts)


def read_base_url(spec: Fields) -> tuple[str | None, Target | None]:
    """Return the base URL without a trailing slash, and its origin."""
    text = spec.value("base_url")
    if text is None:
        return None, None
    if "@" in text or "?" in text or "#" in text:
        said = "base_url must be scheme://host[:port][/path], without user, query and fragment."
        spec.refuse(said, "base_url")
        return None, None
    try:
        target = read_url(text)
    except UnusableUrl as error:
        spec.refuse(str(error), "base_url")
        return None, None
    if climbs(target.path):
        spec.refuse("base_url must not contain the segments . and .. in its path.", "base_url")
        return None, None
    return f"{target.scheme}://{target.authority}{target.path.rstrip('/')}", target


def read_path(action: Fields, base_url: str | None) -> Template:
    template = action.template("path", Place.PATH, default="/")
    parts = template.node.parts if isinstance(template.node, Parts) else (template.node or "/",)
    sample = "".join(part if isinstance(part, str) else _SAMPLE for part in parts)
    if not sample.startswith("/"):
        action.refuse("path must begin with /.", "path")
    elif "?" in sample:
        action.refuse("path must not contain a query. Write it under query.", "path")
    elif climbs(sample):
        action.refuse("path must not contain the segments . and .. .", "path")
    else:
        try:
            read_url((base_url or "http://host") + sample)
        except UnusableUrl as error:
            action.refuse(str(error), "path")
    return template


def _read_query(action: Fields) -> tuple[tuple[str, Template], ...]:
    query = action.object("query")
    return tuple((name, query.template(name)) for name in query.names())


def read_headers(action: Fields, destination: Destination) -> tuple[tuple[str, Template], ...]:
    headers = action.object("headers")
    of_auth = destination.auth.name.lower() if destination.auth and destination.auth.name else None
    seen: set[str] = set()
    for name in headers.names():
        value = headers.value(name, "${")
        if not is_header_name(name):
            headers.refuse(f"{name[:40]!r} is not a header name.", name)
        elif name.lower() in OWN_HEADERS or name.lower() == of_auth:
            headers.refuse(f"{name} is set by Threada itself. Write authentication under auth.", name)
        elif name.lower() in seen:
            headers.refuse(f"{name} occurs twice. Remove one.", name)
        elif "${" not in value and not is_header_value(value):
            headers.refuse(f"{name} must be Latin-1 without control characters and not padded.", name)
        seen.add(name.lower())
    return tuple((name, headers.template(name, Place.HEADER)) for name in headers.names())
