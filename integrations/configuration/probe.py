"""Configuration check of an integration: secrets, address, and a connection to the host. Executes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.documents import IntegrationDocument
from integrations.secrets.references import SecretReference, resolve
from integrations.secrets.vault import reveal
from integrations.transport import EgressPolicy, reach

CONNECT_TIMEOUT_S: Final = 5.0


def probe_integration(document: IntegrationDocument, *, tenant_id: uuid.UUID) -> dict[str, Any]:
    """Return `{ok, checks: [{check, ok, failure, detail}]}` as seen from this process.

    Opens at most one connection and sends nothing. Call it outside a transaction.
    """
    checks = [
        _outcome(f"secret {reference}", partial(_readable, reference, document, tenant_id))
        for reference in document.secret_references
    ]
    connection_url = document.connection_url
    if connection_url is not None:
        egress = EgressPolicy(settings.THREADA_EGRESS_ALLOW)
        checks.append(
            _outcome(
                "connection",
                lambda: f"{reach(connection_url, egress=egress, timeout_s=CONNECT_TIMEOUT_S)} accepts connections",
            )
        )
    return {"ok": all(check["ok"] for check in checks), "checks": checks}


def _readable(reference: SecretReference, document: IntegrationDocument, tenant_id: uuid.UUID) -> str:
    if reference.source == "stored":
        reveal(reference.name, tenant_id=tenant_id, host=document.origin.host if document.origin else "")
    else:
        resolve(reference)
    return "can be read"


def _outcome(check: str, ask: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"check": check, "ok": True, "failure": None, "detail": str(ask())}
    except TransportFailure as failure:
        return {"check": check, "ok": False, "failure": failure.failure.value, "detail": failure.detail}
