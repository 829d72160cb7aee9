"""Permissions of credentials, kept by a process for at most a second.

`threada_enter` checks credential, principal, membership, freezes and tenant of each request. It reads roles and grants
only if a transaction changed permissions in the tenant since the snapshot of the kept ones. So the next request after a
committed change has the new permissions, in every process. The second bounds what a change that no trigger sees (a
restore, a failover, a superuser who disables triggers) can leave behind.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from threada_site.kernel.weighted_cache import WeightedCache
from threada_site.tenancy.effective_permissions import EffectivePermissions

KEPT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class KeptPermissions:
    """Permissions of a credential as of a snapshot of the database. `read_at`: monotonic time from before the read."""

    snapshot: str
    visibility: str
    permissions: EffectivePermissions
    read_at: float


_kept: Final[WeightedCache[tuple[bytes, str | None], KeptPermissions]] = WeightedCache(max_weight=5_000)


def kept_permissions(digest: bytes, role: str | None) -> KeptPermissions | None:
    """Return the kept permissions of a token by its SHA-256, narrowed to `role`, or None."""
    kept = _kept.get((digest, role))
    return kept if kept is not None and time.monotonic() - kept.read_at < KEPT_S else None


def keep_permissions(digest: bytes, role: str | None, kept: KeptPermissions) -> None:
    """Keep permissions for the next requests, unless `role` is one that the principal does not hold."""
    if role is None or role in kept.permissions.roles:
        _kept.put((digest, role), kept)
