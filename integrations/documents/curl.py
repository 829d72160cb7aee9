"""An integration from a pasted `curl` command. Pure: nothing is run, read or sent.

Options that change what is sent are read, options about the terminal are ignored, and all others are refused: a command
that cannot be expressed must not become another call. Values that look like secrets do not become part of the document.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from integrations.documents.auth_schemes import OWN_HEADERS, may_authenticate
from integrations.documents.http_actions import METHODS
from threada_site.kernel.errors import DocumentInvalid, FieldError
from threada_site.kernel.json.strict import MAX_DEPTH

MOST_CHARACTERS: Final = 65_536
_VALUES: Final = {
    "-X": "method", "--request": "method", "-H": "header", "--header": "header", "-d": "data", "--data": "data",
    "--data-raw": "data", "--data-binary": "data", "--data-ascii": "data", "--json": "json", "-u": "user",
    "--user": "user", "--url": "url", "-A": "ignored", "--user-agent": "ignored", "-m": "ignored",
    "--max-time": "ignored", "--connect-timeout": "ignored", "-o": "ignored", "--output": "ignored",
    "--oauth2-bearer": "bearer",
}  # fmt: skip
_FLAGS: Final = {
    "-G": "get", "--get": "get", "-I": "head", "--head": "head", "-s": "", "--silent": "", "-S": "",
    "--show-error": "", "-v": "", "--verbose": "", "-i": "", "--include": "", "-f": "", "--fail": "",
    "--compressed": "", "--http1.1": "", "--http2": "", "-g": "", "--globoff": "",
}  # fmt: skip
_SECRET_NAME: Final = re.compile(r"auth|cookie|key|passw|secret|session|sig|token|credential", re.IGNORECASE)
_KEY_NAME: Final = re.compile(r"auth|secret|token|(?<!idempotency-)key", re.IGNORECASE)
_SECRET_VALUE: Final = re.compile(r"(?:basic|bearer|token|apikey)\s", re.IGNORECASE)
_TOKEN_LIKE: Final = re.compile(r"(?=[^/]*\d)(?=[^/]*[A-Za-z])[A-Za-z0-9_.~-]{20,}")
_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_DROPPED: Final = frozenset({"accept", "content-length", "host", "user-agent", "connection", "accept-encoding"})


@dataclass
class CurlImport:
    """A document without secrets, the secret of its authentication, and what was left out."""

    base_url: str
    action: dict[str, Any]
    auth: dict[str, str] | None = None
    secret: str = field(default="", repr=False)
    notes: list[str] = field(default_factory=list)

    def document(self, slug: str, *, name: str, action: str, secret: str) -> dict[str, Any]:
        """Return the document, with a reference to the stored secret `secret`."""
        auth = {"auth": {**self.auth, "secret": {"stored": secret}}} if self.auth else {}
        spec = {"connector": "http", "base_url": self.base_url, **auth, "actions": {action: self.action}}
        return {"kind": "Integration", "id": slug, **({"name": name} if name else {}), "spec": spec}

    def take_from_request(self, names: Iterable[str]) -> None:
        """Replace values of the body and the query by the fields of the request with the same names.

        Raises `DocumentInvalid` for a name that neither contains.
        """
        wanted = set(names)
        done: set[str] = set()
        for part in ("body", "form", "query"):
            if part in self.action:
                self.action[part] = _taking(self.action[part], wanted, done)
        if missing := sorted(wanted - done):
            detail = "Neither the body, the form nor the query of the command has a member with this name."
            raise DocumentInvalid(detail, errors=[FieldError("/fields", f"{missing[0][:60]}: {detail}", "invalid")])


@dataclass
class _Command:
    method: str = ""
    urls: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    is_json: bool = False
    user: str = ""
    bearer: str = ""
    is_get: bool = False


def import_curl(text: str) -> CurlImport:
    """Return the integration of a command. Raises `DocumentInvalid`, whose details contain no value of the command."""
    command = _read(text)
    url = command.urls[0] if "://" in command.urls[0] else f"https://{command.urls[0]}"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal("The address of the command is not a URL.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise _refusal("The address must begin with https:// or http:// and name a host.")
    shown_host = f"[{host}]" if ":" in host else host
    base_url = f"{parts.scheme}://{shown_host}{f':{port}' if port else ''}"
    found = CurlImport(base_url, {"method": _method(command), "path": parts.path or "/"})
    if any(_TOKEN_LIKE.fullmatch(part) for part in parts.path.split("/")):
        found.notes.append("A part of the path looks like a secret. The path is part of the document, which many read.")
    _authenticate(found, command, userinfo=(parts.username, parts.password))
    query = [*parse_qsl(parts.query, keep_blank_values=True)]
    if command.is_get:
        query += [pair for piece in command.data for pair in parse_qsl(piece, keep_blank_values=True)]
    _query(found, query)
    _headers(found, command)
    if command.data and not command.is_get:
        _body(found, command)
    return found


def _read(text: str) -> _Command:
    if len(text) > MOST_CHARACTERS:
        raise _refusal(f"The command is longer than {MOST_CHARACTERS} characters.")
    if "${" in text:
        raise _refusal("The command contains ${, which begins an expression in documents. Replace it first.")
    try:
        words = shlex.split(re.sub(r"\\\r?\n", " ", text.strip()))
    except ValueError:
        raise _refusal("A quote of the command is not closed.") from None
    if not words or words[0] not in ("curl", "curl.exe"):
        raise _refusal("The command does not begin with curl.")
    command = _Command()
    for option, value in _options(words[1:]):
        _apply(command, option, value)
    if len(command.urls) != 1:
        raise _refusal("The command must contain one address.")
    if any(piece.startswith("@") for piece in command.data):
        raise _refusal("The command reads its body from a file. Paste the body itself.")
    return command


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the meaning of each option with its value, and addresses as `url`."""
    rest = iter(words)
    for word in rest:
        name, has_value, attached = word.partition("=") if word.startswith("--") else (word, "", "")
        if not word.startswith("-"):
            yield "url", word
        elif name in _VALUES:
            value = attached if has_value else next(rest, None)
            if value is None:
                raise _refusal(f"The option {name} has no value.")
            yield _VALUES[name], value
        elif word in _FLAGS:
            yield _FLAGS[word], ""
        elif word[:2] in _VALUES and not word.startswith("--"):
            yield _VALUES[word[:2]], word[2:]
        elif word.startswith("--"):
            raise _refusal(f"The option {name[:40]} is not read. Remove it, or write the document.")
        elif all(f"-{letter}" in _FLAGS for letter in word[1:]) and word != "-":
            yield from ((_FLAGS[f"-{letter}"], "") for letter in word[1:])
        else:
            raise _refusal(f"The option {word[:2]} is not read. Remove it, or write the document.")


def _apply(command: _Command, option: str, value: str) -> None:
    match option:
        case "url":
            command.urls.append(value)
        case "method":
            command.method = value.upper()
        case "header":
            name, _, text = value.partition(":")
            command.headers.append((name.strip(), text.strip()))
        case "data" | "json":
            command.data.append(value)
            command.is_json |= option == "json"
        case "user":
            command.user = value
        case "bearer":
            command.bearer = value
        case "get":
            command.is_get = True
        case "head":
            command.method = "HEAD"


def _method(command: _Command) -> str:
    method = command.method or ("POST" if command.data and not command.is_get else "GET")
    if method not in METHODS:
        raise _refusal(f"The method must be one of {', '.join(METHODS)}.")
    if method == "GET" and command.data and not command.is_get:
        raise _refusal("A body is not sent with GET. Use another method, or the option --get.")
    return method


def _authenticate(found: CurlImport, command: _Command, *, userinfo: tuple[str | None, str | None]) -> None:
    """Take the secret of the command: a bearer token, or user and password."""
    name, password = userinfo
    if command.user:
        user, _, secret = command.user.partition(":")
        found.auth, found.secret = {"scheme": "basic", "username": user}, secret
    elif name:
        found.auth, found.secret = {"scheme": "basic", "username": unquote(name)}, unquote(password or "")
    if command.bearer:
        found.auth, found.secret = {"scheme": "bearer"}, command.bearer
    for header, text in command.headers:
        if header.lower() != "authorization":
            continue
        scheme, _, value = text.partition(" ")
        if scheme.lower() == "bearer":
            found.auth, found.secret = {"scheme": "bearer"}, value.strip()
        elif scheme.lower() == "basic":
            try:
                user, _, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise _refusal("The header Authorization contains no readable user and password.") from None
            found.auth, found.secret = {"scheme": "basic", "username": user}, secret
        else:
            raise _refusal("The header Authorization must use Bearer or Basic.")


def _query(found: CurlImport, query: list[tuple[str, str]]) -> None:
    kept = {name: value for name, value in query if not _SECRET_NAME.search(name)}
    if len(kept) < len({name for name, _ in query}):
        found.notes.append("Query parameters that look like secrets were left out.")
    if kept:
        found.action["query"] = kept


def _headers(found: CurlImport, command: _Command) -> None:
    kept = {}
    for name, value in command.headers:
        lower = name.lower()
        if lower in _DROPPED or lower in ("authorization", "content-type"):
            continue
        if found.auth is None and _KEY_NAME.search(name) and may_authenticate(name):
            found.auth, found.secret = {"scheme": "header", "name": name}, value
        elif lower in OWN_HEADERS or _SECRET_NAME.search(name) or _SECRET_VALUE.match(value):
            found.notes.append(f"The header {name[:60]} was left out: it is set by Threada, or looks like a secret.")
        else:
            kept[name] = value
    if kept:
        found.action["headers"] = kept


def _body(found: CurlImport, command: _Command) -> None:
    text = command.data[0] if len(command.data) == 1 else "&".join(command.data)
    if len(text) - len(text.lstrip("[{ \t\r\n")) > MAX_DEPTH:
        raise _refusal("The body is nested too deeply.")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        _form(found, command, text)
        return
    left_out: list[str] = []
    found.action["body"] = _without_secrets(body, left_out)
    if left_out:
        found.notes.append("Members of the body that look like secrets were left out.")


def _form(found: CurlImport, command: _Command, text: str) -> None:
    types = [value.lower() for name, value in command.headers if name.lower() == "content-type"]
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        pairs = []
    if not pairs or command.is_json or any("x-www-form-urlencoded" not in value for value in types):
        raise _refusal("The body is neither JSON nor a form of the kind name=value&name=value.")
    kept: dict[str, Any] = {}
    for name, value in pairs:
        if not _SECRET_NAME.search(name):
            # An encoded ${ is text, and not the beginning of an expression.
            kept.setdefault(name, []).append(value.replace("${", "$${"))
    if len(kept) < len({name for name, _ in pairs}):
        found.notes.append("Fields of the form that look like secrets were left out.")
    if kept:
        found.action["form"] = {name: values if len(values) > 1 else values[0] for name, values in kept.items()}


def _without_secrets(value: Any, left_out: list[str], depth: int = 0) -> Any:
    if depth > MAX_DEPTH:
        raise _refusal("The body is nested too deeply.")
    if isinstance(value, list):
        return [_without_secrets(child, left_out, depth + 1) for child in value]
    if not isinstance(value, dict):
        return value
    left_out += [name for name in value if _SECRET_NAME.search(name)]
    return {
        name: _without_secrets(child, left_out, depth + 1)
        for name, child in value.items()
        if not _SECRET_NAME.search(name)
    }


def _taking(value: Any, wanted: set[str], done: set[str]) -> Any:
    if isinstance(value, list):
        return [_taking(child, wanted, done) for child in value]
    if not isinstance(value, dict):
        return value
    taken = {name for name in wanted.intersection(value) if _FIELD.fullmatch(name)}
    done |= taken
    return {
        name: f"${{item.payload.{name}}}" if name in taken else _taking(child, wanted, done)
        for name, child in value.items()
    }


def _refusal(detail: str) -> DocumentInvalid:
    return DocumentInvalid(detail, errors=[FieldError("/command", detail, "invalid")])
