"""Authenticator app whose enrolment has begun: its encrypted secret in the session, for ten minutes."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any, Final, Self

from threada_site.identity.factors.totp import EncryptedTotp, new_totp, provisioning_uri, qr_code
from threada_site.kernel import clock

LASTS_S: Final = 600
_KEY: Final = "totp_enrolment"


@dataclass(frozen=True, slots=True)
class PendingTotp:
    """Encrypted secret of an app that is not enrolled yet."""

    encrypted: EncryptedTotp
    started_at: float

    @classmethod
    def start(cls, person_id: uuid.UUID) -> Self:
        return cls(new_totp(person_id), clock.now().timestamp())

    @classmethod
    def of_session(cls, session: Any) -> Self | None:
        """Return the enrolment of this session, or None."""
        stored = session.get(_KEY)
        if not stored or clock.now().timestamp() - stored["at"] > LASTS_S:
            return None
        factor_id, person_id = uuid.UUID(stored["factor"]), uuid.UUID(stored["person"])
        encrypted = EncryptedTotp(factor_id, person_id, stored["token"].encode(), stored["key"])
        return cls(encrypted, stored["at"])

    @staticmethod
    def forget(session: Any) -> None:
        session.pop(_KEY, None)

    def store(self, session: Any) -> None:
        session[_KEY] = {
            "factor": str(self.encrypted.factor_id),
            "person": str(self.encrypted.person_id),
            "token": self.encrypted.token.decode(),
            "key": self.encrypted.key_id,
            "at": self.started_at,
        }

    def shown(self, account: str, host: str) -> dict[str, str]:
        """Return the QR code, and the secret in groups of four for typing."""
        secret = self.encrypted.secret()
        uri = provisioning_uri(secret, f"{account}@{host}", "Threada")
        return {"qr": qr_code(uri), "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))}
