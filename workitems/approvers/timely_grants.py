"""Grants that count on a step: in effect before the first step of its item opened, or confirmed.

Keys are those of `threada_site.tenancy.grant_times` and `workitems.approvers.approver_keys`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from threada_site.kernel.clock import rfc3339
from threada_site.kernel.context import INSIDE_WORKFLOW_MANAGE, Scope
from threada_site.tenancy.grant_times import GrantTimes
from workitems.approvers.candidates import Approver

_NOUNS: Final = {"member": "membership", "role": "role", "group": "group", "scope": "permission"}
DECIDE: Final = Scope.DECISIONS_DECIDE.value


def timely(approver: Approver, times: GrantTimes, *, as_of: datetime, workflow_id: uuid.UUID) -> Approver:
    """Return the approver with the roles, groups, scopes and name that count on a step with `grants_as_of` `as_of`.

    A grant without a record does not count. Without a membership that counts nothing does.
    """
    if not _counts(times, ["member"], as_of):
        return replace(approver, name="", roles=frozenset(), groups=frozenset(), scopes=frozenset())
    return replace(
        approver,
        roles=frozenset(role for role in approver.roles if _counts(times, [f"role:{role}"], as_of)),
        groups=frozenset(group for group in approver.groups if _counts(times, [f"group:{group}"], as_of)),
        scopes=frozenset(scope for scope in approver.scopes if _counts(times, _scope_keys(scope, workflow_id), as_of)),
    )


def late_grants(
    approver: Approver, times: GrantTimes, wanted: Iterable[str], *, as_of: datetime, workflow_id: uuid.UUID
) -> list[tuple[str, datetime | None]]:
    """Return the grants among `wanted` that the approver holds and that do not count, with their times.

    The membership and `decisions:decide` are always wanted. None: there is no record of the grant.
    """
    held = {f"role:{role}" for role in approver.roles} | {f"group:{group}" for group in approver.groups}
    held |= {f"scope:{scope}" for scope in approver.scopes}
    late: list[tuple[str, datetime | None]] = []
    for grant in ("member", f"scope:{DECIDE}", *sorted(set(wanted) & held)):
        kind, _, name = grant.partition(":")
        keys = _scope_keys(name, workflow_id) if kind == "scope" else [grant]
        if not _counts(times, keys, as_of) and (grant, _first(times, keys)) not in late:
            late.append((grant, _first(times, keys)))
    return late


def late_in_words(late: Iterable[tuple[str, datetime | None]], *, as_of: datetime) -> str:
    """Return why the grants of `late_grants` do not count, and who can confirm them."""
    said = [
        f"your {_NOUNS[grant.partition(':')[0]]}{f' {name}' if (name := grant.partition(':')[2]) else ''} "
        + (f"began at {rfc3339(since)}" if since else "has no recorded beginning")
        for grant, since in late
    ]
    return (
        f"Your vote does not count on this step, whose case was first put to a decision at {rfc3339(as_of)}: "
        f"{', '.join(said)}. It counts once a steward who is independent of whoever granted it, or the operator, "
        "confirms it."
    )


def key_times(keys: Iterable[str], times: GrantTimes) -> dict[str, datetime | None]:
    """Return the approver keys that count on some steps, with the time from which each counts; None: on every step."""
    found: dict[str, datetime | None] = {}
    for key in keys:
        kind, _, name = key.partition(":")
        if kind == "user":
            names = ["member"]
        elif kind == "scope":
            scope, _, place = name.partition("@")
            names = [key, *_wider(scope, place)]
        else:
            names = [key]
        known = [times[one] for one in names if one in times]
        if "member" in times and known:
            since = None if None in known else min(time for time in known if time is not None)
            joined = times["member"]
            found[key] = max((time for time in (since, joined) if time is not None), default=None)
    return found


def _counts(times: GrantTimes, keys: Iterable[str], as_of: datetime) -> bool:
    return any(key in times and ((since := times[key]) is None or since < as_of) for key in keys)


def _first(times: GrantTimes, keys: Iterable[str]) -> datetime | None:
    return min((since for key in keys if (since := times.get(key)) is not None), default=None)


def _scope_keys(scope: str, workflow_id: uuid.UUID) -> list[str]:
    """Return the grants that give a scope on a workflow: on the tenant, on the workflow, or by a wider scope there."""
    place = str(workflow_id)
    return [f"scope:{scope}", f"scope:{scope}@{place}", *_wider(scope, place)]


def _wider(scope: str, place: str) -> list[str]:
    """Return the grant of `workflow:manage` on the object, for a scope that it includes."""
    if not place or scope not in {inside.value for inside in INSIDE_WORKFLOW_MANAGE}:
        return []
    return [f"scope:{Scope.WORKFLOW_MANAGE.value}@{place}"]
