"""Second factor at an identity provider, as its answer asserts it. Imports no Django."""

from __future__ import annotations

from typing import Any

from threada_site.identity.providers.documents import ProviderSpec
from threada_site.kernel.factors import Factor


def provider_factor(amr: Any, acr: Any, spec: ProviderSpec) -> Factor | None:
    """Return `Factor.PROVIDER_MFA` if the provider asserts more than one factor, else None.

    `amr` and `acr` are claims of a verified answer. It asserts so by `mfa` among `amr` (RFC 8176), or by an `acr` that
    the provider's document lists in `second_factor_acr_values`.
    """
    if isinstance(amr, list) and "mfa" in amr:
        return Factor.PROVIDER_MFA
    if isinstance(acr, str) and acr in spec.second_factor_acr_values:
        return Factor.PROVIDER_MFA
    return None
