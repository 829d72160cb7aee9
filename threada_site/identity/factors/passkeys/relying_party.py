"""Relying party: the host and the origin that passkeys of this instance are bound to."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from threada_site.kernel import errors

NAME: Final = "Threada"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Relying party. `id`: host name that passkeys are bound to. `origin`: the only origin whose pages may use them."""

    id: str
    origin: str


def relying_party(public_url: str, *, scheme: str, host: str) -> RelyingParty:
    """Return the relying party of the public address, else of the address of the request.

    `host` is that of the request, with its port; it must be one of the allowed hosts. Raise `PasskeysUnavailable` for
    an address at which browsers know no passkeys: an IP address, or plain HTTP elsewhere than at localhost.
    """
    address = urlsplit(public_url or f"{scheme}://{host}")
    name = (address.hostname or "").lower()
    is_local = name == "localhost" or name.endswith(".localhost")
    if not name or _is_ip_address(name) or address.scheme not in _DEFAULT_PORTS:
        raise errors.PasskeysUnavailable
    if address.scheme != "https" and not is_local:
        raise errors.PasskeysUnavailable
    name = name.encode("idna").decode() if not name.isascii() else name
    port = address.port
    suffix = "" if port in (None, _DEFAULT_PORTS[address.scheme]) else f":{port}"
    return RelyingParty(id=name, origin=f"{address.scheme}://{name}{suffix}")


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
