"""Access tokens of integration versions: stored encrypted, used by all workers, requested by one of them at a time.

A token is requested again after 80 % of its life, by the first call after that; other calls use the old one meanwhile,
and so does this call if it gets none.
No transaction is open while the token endpoint is asked: the row says until when another worker asks it.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import structlog
from django.db import DatabaseError
from psycopg_pool import PoolTimeout

from integrations.attempts.failures import FailureClass, TransportFailure
from integrations.models import AccessToken
from integrations.secrets.access import SecretAccess
from integrations.secrets.client_credentials import IssuedToken, request_token
from integrations.secrets.references import Secret, parse_reference
from integrations.secrets.vault import fingerprint_of
from integrations.transport import EgressPolicy, Network
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.kernel.keyring import Undecryptable
from threada_site.personal_data.instance_keyring import keyring

log = structlog.get_logger("threada.integrations")

LONGEST_REQUEST_S: Final = 15.0
REFRESHED_AFTER: Final = 0.8
"""Part of a token's life after which it is requested again."""
_CLAIM: Final = timedelta(seconds=LONGEST_REQUEST_S + 5)
_MARGIN: Final = timedelta(seconds=5)
"""Time before its end from which a token is not sent."""
_PAUSE_S: Final = 0.1
_RETRIED_AFTER: Final = timedelta(seconds=30)
"""Time after a request without a token in which calls use the old one, if it is in force."""


class AccessTokens:
    """Tokens for the calls of one integration version. `release` is called whenever no database connection is needed
    for a while."""

    def __init__(self, access: SecretAccess, release: Callable[[], None] = lambda: None) -> None:
        self._access = access
        self._release = release
        self._used_at: datetime | None = None

    def token(
        self,
        auth: Mapping[str, Any],
        *,
        sent_to: str,
        egress: EgressPolicy,
        timeout_s: float,
        network: Network,
        tls: ssl.SSLContext | None,
        user_agent: str,
    ) -> Secret:
        """Return a token for a call to `sent_to`, the stored one or a new one, within `timeout_s`.

        The client's secret is read at each call, so that a removed or changed secret ends its tokens. Its origins have
        to list the token endpoint and `sent_to`: who does not know it gets no token either. Raises
        `TransportFailure`, as access to the secret and `request_token`.
        """
        ends_at = time.monotonic() + min(timeout_s, LONGEST_REQUEST_S)
        reference = parse_reference(auth["client_secret"])
        self._access(reference, sent_to)  # a token is sent where its client's secret may be sent
        client_secret = self._access(reference, auth["token_url"])
        about = orjson.dumps([dict(auth), client_secret.reveal()], option=orjson.OPT_SORT_KEYS).decode()
        fingerprint = fingerprint_of("access_token", about, tenant_id=self._access.tenant_id)
        while (found := self._found(fingerprint)) is None:
            self._release()
            if time.monotonic() >= ends_at:
                raise TransportFailure(FailureClass.TIMEOUT, "Another worker waits for the token endpoint.")
            time.sleep(_PAUSE_S)
        self._release()
        self._used_at = clock.now()
        stored, claim = found
        if stored is not None and claim is None:
            return stored
        try:
            issued = request_token(
                auth,
                client_secret,
                egress=egress,
                timeout_s=max(ends_at - time.monotonic(), _PAUSE_S),
                network=network,
                tls=tls,
                user_agent=user_agent,
            )
        except TransportFailure as failure:
            self._store(claim, fingerprint, problem=f"{failure.failure}: {failure.detail}")
            if stored is not None:
                return stored
            raise
        else:
            self._store(claim, fingerprint, issued=issued)
            self._used_at = clock.now()
            return issued.value
        finally:
            self._release()

    def forget(self) -> None:
        """End the stored token, if it was used here: the receiver refused it."""
        if self._used_at is None:
            return
        try:
            with unit_of_work(self._access.tenant_id):
                self._rows().filter(requested_at__lte=self._used_at).update(expires_at=clock.now())
        except (DatabaseError, PoolTimeout) as error:  # what the receiver said is known, whatever happens here
            log.warning("access_token_kept", exc_info=error)
        self._release()

    @property
    def _version_id(self) -> uuid.UUID:
        if self._access.version_id is None:
            raise TypeError("Access tokens belong to an integration version.")
        return self._access.version_id

    def _rows(self) -> Any:
        return AccessToken.objects.filter(tenant_id=self._access.tenant_id, integration_version_id=self._version_id)

    def _found(self, fingerprint: str) -> tuple[Secret | None, uuid.UUID | None] | None:
        """Return the stored token, and a claim if this call requests one; None while this call waits for another's."""
        now = clock.now()
        with unit_of_work(self._access.tenant_id):
            row = self._rows().first()
            if row is not None and (stored := self._usable(row, fingerprint)) and row.refresh_at > now:
                return stored, None
            if row is None:
                made = AccessToken(tenant_id=self._access.tenant_id, integration_version_id=self._version_id)
                AccessToken.objects.bulk_create([made], ignore_conflicts=True)
            row = self._rows().select_for_update(no_key=True).get()
            stored = self._usable(row, fingerprint)
            is_claimed = row.claimed_until is not None and row.claimed_until > now
            if stored is not None and (is_claimed or row.refresh_at > now):
                return stored, None
            if is_claimed:
                return None
            row.claim, row.claimed_until = uuid.uuid4(), now + _CLAIM
            row.save(update_fields=["claim", "claimed_until"])
            return stored, row.claim

    def _usable(self, row: AccessToken, fingerprint: str) -> Secret | None:
        """Return the token in a row if it is in force and was issued for this client and secret."""
        if row.expires_at is None or row.expires_at - _MARGIN <= clock.now() or row.fingerprint != fingerprint:
            return None
        try:
            kept = orjson.loads(keyring().decrypt(bytes(row.token)))
        except Undecryptable:
            return None
        about = [str(self._access.tenant_id), str(self._version_id), fingerprint]
        return Secret(kept["value"]) if kept["about"] == about else None

    def _store(
        self, claim: uuid.UUID | None, fingerprint: str, *, issued: IssuedToken | None = None, problem: str = ""
    ) -> None:
        """Store the result of a request, unless its claim ended."""
        now = clock.now()
        changes: dict[str, Any] = {"claimed_until": None, "problem": problem[:500], "refresh_at": now + _RETRIED_AFTER}
        if issued is not None:
            about = [str(self._access.tenant_id), str(self._version_id), fingerprint]
            encrypted = keyring().encrypt(orjson.dumps({"about": about, "value": issued.value.reveal()}))
            changes |= {
                "token": encrypted.token,
                "key_id": encrypted.key_id,
                "fingerprint": fingerprint,
                "requested_at": now,
                "refresh_at": now + timedelta(seconds=issued.life_s * REFRESHED_AFTER),
                "expires_at": now + timedelta(seconds=issued.life_s),
            }
        with unit_of_work(self._access.tenant_id):
            self._rows().filter(claim=claim).update(**changes)
