"""References to secrets. Documents, envelopes and receipts contain references; only a call reads the value.

`{stored: NAME}` is an encrypted secret of the tenant (integrations.secrets.vault). `{env: NAME}` is an environment
variable of the worker, `{file: PATH}` a file readable by the worker. The instance decides which of these two are
allowed through API and console, and the origins that they may be sent to (`THREADA_SECRET_REFS`); otherwise a tenant
could send the server's environment to its host. Imports no Django.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.secrets.origins import Origin, UnusableOrigin, parse_origin
from integrations.secrets.pem import is_pem
from threada_site.kernel.ids import is_slug

MAX_SECRET_BYTES: Final = 64 * 1024
FOR_CALLBACKS: Final = "@callbacks"
"""End of an entry of `THREADA_SECRET_REFS` for a secret that verifies callbacks and is sent nowhere."""
_ENTRY: Final = re.compile(r"(?P<reference>.+?)@(?P<origin>[A-Za-z+]+://[^@]*)")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


@dataclass(frozen=True, slots=True)
class SecretReference:
    """Reference to a secret. As text: `stored:name`, `env:NAME` or `file:/path`."""

    source: Literal["env", "file", "stored"]
    name: str

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"

    def as_json(self) -> dict[str, str]:
        return {self.source: self.name}


@dataclass(frozen=True, slots=True)
class Secret:
    """Value of a secret. Only `reveal` returns it; repr, str and format do not contain it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return "[redacted]"

    def __repr__(self) -> str:
        return "Secret([redacted])"

    def __format__(self, spec: str) -> str:
        return "[redacted]"

    def __reduce__(self) -> Any:
        raise TypeError("A secret is not pickled.")


def parse_reference(value: Any) -> SecretReference:
    """Return the reference in `{stored: name}`, `{env: NAME}` or `{file: PATH}`.

    Raises `ValueError` without the value.
    """
    if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in ("env", "file", "stored"):
        raise ValueError("A secret is named, never written out: {stored: name}, {env: NAME} or {file: /path}.")
    source, name = next(iter(value.items()))
    if source == "stored":
        if not isinstance(name, str) or not is_slug(name):
            raise ValueError("A stored secret's name must be a slug: a-z, 0-9, - and _, at most 63 characters.")
        return SecretReference("stored", name)
    if source == "env":
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise ValueError("The variable's name must be letters, digits and underscores, and not begin with a digit.")
        return SecretReference("env", name)
    if (
        not isinstance(name, str)
        or not name.startswith("/")
        or posixpath.normpath(name) != name
        or "\x00" in name
        or len(name) > 1024
    ):
        raise ValueError("The file must be an absolute path without '.', '..' or doubled slashes.")
    return SecretReference("file", name)


def listed_origins(reference: SecretReference, listed: Sequence[str], *, tenant: str) -> list[Origin]:
    """Return the origins that the instance allows for a reference to the environment or to a file.

    An entry `acme/env:NAME@https://bank.example` allows it for the tenant `acme` only, an entry without a tenant for
    all. References match exactly. An entry without a valid origin allows nothing.
    """
    names = (f"{tenant}/{reference}", str(reference))
    return [origin for name, origin in _entries(listed) if name in names and isinstance(origin, Origin)]


def is_listed_for_callbacks(reference: SecretReference, listed: Sequence[str], *, tenant: str) -> bool:
    """Return True if the instance lists a reference for the tenant: with `@callbacks`, or with any valid origin."""
    names = (f"{tenant}/{reference}", str(reference))
    return any(f"{name}{FOR_CALLBACKS}" in listed for name in names) or bool(
        listed_origins(reference, listed, tenant=tenant)
    )


def entry_problems(listed: Sequence[str]) -> list[str]:
    """Return a sentence for each entry without a valid origin."""
    return [f"{name} {origin}" for name, origin in _entries(listed) if isinstance(origin, str)]


def _entries(listed: Sequence[str]) -> Iterator[tuple[str, Origin | str]]:
    """Yield each entry's reference, with its origin or what is wrong with it."""
    for entry in listed:
        if entry.endswith(FOR_CALLBACKS):
            continue
        match = _ENTRY.fullmatch(entry)
        if match is None:
            yield entry, f"names no origin: write …@https://host, or …{FOR_CALLBACKS}"
            continue
        try:
            yield match["reference"], parse_origin(match["origin"])
        except UnusableOrigin as error:
            yield match["reference"], f"has an origin that {error}"


def resolve(reference: SecretReference, environ: Mapping[str, str] | None = None) -> Secret:
    """Return the current secret from environment or file, without one trailing line break.

    Raises `TransportFailure` (`credential_unavailable`) if it is missing, empty, unreadable, or neither a single line
    nor PEM.
    """
    if reference.source == "stored":
        raise _unavailable(reference, "cannot be read from here")
    if reference.source == "env":
        text = (os.environ if environ is None else environ).get(reference.name, "")
    else:
        text = _read_file(reference)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _unavailable(reference, "is not set or empty")
    if any(character < " " or character == "\x7f" for character in text) and not is_pem(text):
        raise _unavailable(reference, "holds control characters")
    return Secret(text)


def _read_file(reference: SecretReference) -> str:
    try:
        descriptor = os.open(reference.name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unavailable(reference, "is not a regular file")
            raw = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        raise _unavailable(reference, f"cannot be read ({os.strerror(error.errno or 0)})") from None
    if len(raw) > MAX_SECRET_BYTES:
        raise _unavailable(reference, f"is larger than {MAX_SECRET_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _unavailable(reference, "is not UTF-8 text") from None


def _unavailable(reference: SecretReference, why: str) -> TransportFailure:
    return TransportFailure(FailureClass.CREDENTIAL_UNAVAILABLE, f"The secret {reference} {why}.")
