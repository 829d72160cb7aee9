"""Ways to prove who one is in a session of the console. Imports no Django."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final


class Factor(StrEnum):
    """Proof that a person gave in a session.

    `PROVIDER` is a sign-in at an identity provider, `PROVIDER_MFA` one for which the provider states two factors.
    """

    PASSWORD = "password"  # noqa: S105
    PROVIDER = "provider"
    PROVIDER_MFA = "provider_mfa"
    TOTP = "totp"
    PASSKEY = "passkey"
    RECOVERY_CODE = "recovery_code"


SECOND_FACTORS: Final = frozenset({Factor.TOTP, Factor.PASSKEY, Factor.RECOVERY_CODE, Factor.PROVIDER_MFA})
"""Factors of which one makes a session meet `require_mfa`."""
STEP_UP_FACTORS: Final = frozenset({Factor.PASSWORD, Factor.PROVIDER, Factor.PROVIDER_MFA, Factor.TOTP, Factor.PASSKEY})
"""Factors that are a step-up. A password is none for a person with an enrolled factor; a recovery code never is."""


def has_second_factor(factors: Iterable[str]) -> bool:
    """Return True if a session with these factors has a second factor."""
    return not SECOND_FACTORS.isdisjoint(factors)


_KEY: Final = "factors"


def session_factors(data: Any, *, default: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the factors that the session with these data has proved, the first one first."""
    stored = data.get(_KEY)
    return tuple(stored) if stored else tuple(default)


def add_factors(data: Any, factors: Iterable[str]) -> None:
    """Add factors to the data of a session."""
    data[_KEY] = list(dict.fromkeys([*session_factors(data), *map(str, factors)]))
