"""Keys by which steps and people find each other: `role:finance`, `group:board`, `user:ada`, `scope:…`. Pure.

A step waits for keys, a person holds keys; what waits for a person is a look into one index. A scope may be held on one
workflow alone, so a leaf that asks for one has two keys: `scope:S` and `scope:S@<workflow id>`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from policies.language.approvals import Leaf


def keys_of_leaves(leaves: Iterable[Leaf], *, workflow_id: uuid.UUID) -> frozenset[str]:
    """The keys of whoever stands at one of `leaves`, on a step of that workflow."""
    keys: set[str] = set()
    for leaf in leaves:
        keys.add(f"{leaf.kind}:{leaf.name}")
        if leaf.kind == "scope":
            keys.add(f"{leaf.kind}:{leaf.name}@{workflow_id}")
    return frozenset(keys)


def approver_keys(
    *,
    name: str,
    roles: Iterable[str],
    groups: Iterable[str],
    scopes: Iterable[str],
    workflow_scopes: Iterable[tuple[uuid.UUID, Iterable[str]]],
) -> frozenset[str]:
    """The keys that a person holds in the tenant."""
    return frozenset(
        (
            f"user:{name}",
            *(f"role:{role}" for role in roles),
            *(f"group:{group}" for group in groups),
            *(f"scope:{scope}" for scope in scopes),
            *(f"scope:{scope}@{workflow_id}" for workflow_id, held in workflow_scopes for scope in held),
        )
    )
