"""Keys that link pending steps to approvers: `role:finance`, `group:board`, `user:ada`, `scope:…`. Pure.

A pending step stores the keys of the approvers it requires; a member has keys. Finding the steps that wait for a member
is one index lookup. A scope can be granted on one workflow only, so a leaf that requires a scope has two keys:
`scope:S` and `scope:S@<workflow id>`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from policies.language.approvals import Leaf


def keys_of_leaves(leaves: Iterable[Leaf], *, workflow_id: uuid.UUID) -> frozenset[str]:
    """Return the keys of approvers that match any of `leaves`, on a step of that workflow."""
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
    """Return the keys of a member of the tenant."""
    return frozenset(
        (
            f"user:{name}",
            *(f"role:{role}" for role in roles),
            *(f"group:{group}" for group in groups),
            *(f"scope:{scope}" for scope in scopes),
            *(f"scope:{scope}@{workflow_id}" for workflow_id, held in workflow_scopes for scope in held),
        )
    )
