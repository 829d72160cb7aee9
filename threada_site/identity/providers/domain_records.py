"""TXT records that prove a tenant's control of a mail domain. Imports dnspython only to look one up."""

from __future__ import annotations

import uuid
from typing import Final

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

PREFIX: Final = "_threada"
TIMEOUT_S: Final = 5.0


class LookupFailed(Exception):
    """A look-up without an answer, which proves nothing. The message says why."""


def record_name(domain: str) -> str:
    """Return the name of the TXT record of a domain."""
    return f"{PREFIX}.{domain}"


def record_text(domain: str, tenant_id: uuid.UUID) -> str:
    """Return the text of the TXT record that confirms a domain for a tenant. Other tenants cannot guess it."""
    digest = salted_hmac("threada.sign_in_domain", f"{tenant_id} {domain}", algorithm="sha256").hexdigest()
    return f"threada-domain={digest[:40]}"


def is_recorded(domain: str, tenant_id: uuid.UUID) -> bool:
    """Return True if the domain has the TXT record of a tenant. Raise `LookupFailed` without an answer of DNS."""
    import dns.exception
    import dns.resolver

    resolver = dns.resolver.Resolver(configure=not settings.THREADA_DNS_SERVERS)
    if settings.THREADA_DNS_SERVERS:
        servers = [server.rpartition(":") for server in settings.THREADA_DNS_SERVERS]
        resolver.nameservers = [host for host, _, _ in servers]
        resolver.port = int(servers[0][2])
    try:
        answer = resolver.resolve(f"{record_name(domain)}.", "TXT", lifetime=TIMEOUT_S)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return False
    except dns.exception.DNSException as error:
        raise LookupFailed(f"DNS gave no answer for {record_name(domain)}: {type(error).__name__}") from None
    expected = record_text(domain, tenant_id)
    texts = [b"".join(record.strings).decode("ascii", "replace") for record in answer]
    return any(constant_time_compare(text, expected) for text in texts)
