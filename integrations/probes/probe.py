"""Configuration check of an integration: secrets, address, and a connection to the host. Executes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from django.conf import settings

from integrations.attempts.failures import TransportFailure
from integrations.connectors.mutual_tls import client_certificate
from integrations.documents import IntegrationDocument
from integrations.secrets.access import SecretAccess
from integrations.secrets.access_tokens import AccessTokens
from integrations.secrets.references import SecretReference
from integrations.transport import EgressPolicy, SystemNetwork, reach
from threada_site.kernel import clock
from threada_site.kernel.clock import rfc3339

CONNECT_TIMEOUT_S: Final = 5.0


def probe_integration(document: IntegrationDocument, secrets: SecretAccess) -> dict[str, Any]:
    """Return `{ok, checks: [{check, ok, failure, detail}]}` as seen from this process.

    Opens at most one connection to the receiver and sends nothing there; requests an access token if none is stored.
    Call it outside a transaction.
    """
    checks = [
        _outcome(f"secret {reference}", partial(_readable, reference, document, secrets))
        for reference in document.sent_references
    ]
    checks += [
        _outcome(f"secret {reference}", partial(_verifies, reference, secrets))
        for reference in document.callback_secrets
    ]
    if document.auth is not None and document.auth.scheme == "mtls":
        checks.append(_outcome("client certificate", partial(_certificate, document, document.auth.as_json(), secrets)))
    if document.auth is not None and document.auth.scheme == "oauth2":
        checks.append(_outcome("access token", partial(_token, document, document.auth.as_json(), secrets)))
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


def _readable(reference: SecretReference, document: IntegrationDocument, secrets: SecretAccess) -> str:
    secrets(reference, document.address_of(reference))
    return "can be read"


def _certificate(document: IntegrationDocument, auth: Mapping[str, Any], secrets: SecretAccess) -> str:
    found = client_certificate(auth, lambda reference: secrets(reference, document.sent_to), now=clock.now())
    found.context()
    return f"is valid until {rfc3339(found.ends_at)}"


def _token(document: IntegrationDocument, auth: Mapping[str, Any], secrets: SecretAccess) -> str:
    AccessTokens(secrets).token(
        auth,
        sent_to=document.sent_to,
        egress=EgressPolicy(settings.THREADA_EGRESS_ALLOW),
        timeout_s=CONNECT_TIMEOUT_S,
        network=SystemNetwork(),
        tls=None,
        user_agent=f"Threada/{settings.THREADA_VERSION}",
    )
    return "is issued"


def _verifies(reference: SecretReference, secrets: SecretAccess) -> str:
    secrets.verifying(reference)
    return "can be read"


def _outcome(check: str, ask: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"check": check, "ok": True, "failure": None, "detail": str(ask())}
    except TransportFailure as failure:
        return {"check": check, "ok": False, "failure": failure.failure.value, "detail": failure.detail}
