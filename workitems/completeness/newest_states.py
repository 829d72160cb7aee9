"""Rows whose state must be the one that the newest receipt about them gives, for example the version in force.

`expected_receipts` requires that there is a receipt of an act. It does not see a row that is put back to an earlier
state, because the receipt of that state exists. Add a line here for each row that decides what somebody may do.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.models import Model

from integrations.models import Integration, StoredSecret
from policies.models import Calendar, List, Policy, Workflow
from threada_site.kernel import ids
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.authority_models import AccountDependence
from threada_site.tenancy.identity_provider_models import IdentityProvider
from threada_site.tenancy.models import Credential, FourEyesRule, Membership, Tenant, User
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer
from workitems.completeness.expected_receipts import EXPECTED_DELETION_RECEIPTS, Body, DeletionExpectation
from workitems.models import RetentionRule

type States = Callable[[Body], Iterable[tuple[str, str]]]
"""Function that returns the keys of the rows that a receipt is about, each with the state that it gives."""

NONE: Final = "none"


@dataclass(frozen=True, slots=True, eq=False)
class NewestState:
    """Expectation that each row of `model` has the state that the newest receipt about its key gives.

    `row_state` returns key and state of a row from its `columns`. `missing`: a key whose newest receipt gives this
    state has a row. Rows without a receipt are not compared.
    """

    what: str
    states: Mapping[str, States]
    model: type[Model]
    row_state: Callable[..., tuple[str, str]]
    columns: tuple[str, ...]
    missing: frozenset[str] = frozenset()
    tenant: str = "tenant_id"


class UnknownPersonError(Exception):
    """The receipt names an invitation that this instance does not know."""


@dataclass(slots=True)
class _Known:
    """State by key according to the receipts: of the newest by its id, and of the newest by its place in the log."""

    by_id: dict[str, tuple[uuid.UUID, str]] = field(default_factory=dict)
    by_place: dict[str, tuple[float, uuid.UUID, str]] = field(default_factory=dict)
    is_unclear: bool = False

    def add(self, key: str, state: str, *, receipt: uuid.UUID, index: int | None) -> None:
        place = float("inf") if index is None else index
        self.by_id[key] = max(self.by_id.get(key, (receipt, state)), (receipt, state))
        self.by_place[key] = max(self.by_place.get(key, (place, receipt, state)), (place, receipt, state))

    def newest(self, key: str) -> str | None:
        """Return None if no receipt gives a state, or if the order of the receipts is not certain.

        Clocks of machines differ, and an operator accepts a receipt from quarantine later than others.
        """
        if self.is_unclear or key not in self.by_id:
            return None
        state = self.by_id[key][-1]
        return state if state == self.by_place[key][-1] else None


def states_unlike_newest_receipts(
    tenant: Tenant, receipts: Iterable[tuple[uuid.UUID, int | None, Body]]
) -> Iterator[str]:
    """Yield a sentence for each row whose state is not the one of the newest receipt about it.

    `receipts`: id, index in the log or None, and content of the receipts of `KINDS` that count, in any order. A row is
    not compared if a receipt that may be about it cannot be read.
    """
    known = _known(receipts)
    for expected in NEWEST_STATES:
        about, present = known[expected], set()
        rows = expected.model._default_manager.filter(**{expected.tenant: tenant.id}).order_by("pk")
        found = {}
        for columns in rows.values_list(*expected.columns).iterator(chunk_size=_CHUNK):
            key, state = expected.row_state(*columns)
            if key in about.by_id:
                found[key] = state  # the newest row of several
                present.add(key)
        for key, state in found.items():
            said = about.newest(key)
            if said is not None and said != state:
                yield f"{expected.what} {key}: {state}, but its newest receipt says {said}"
        for key in sorted(about.by_id.keys() - present):
            if (said := about.newest(key)) in expected.missing:
                yield f"{expected.what} {key}: missing, but its newest receipt says {said}"


_CHUNK: Final = 2000


def _known(receipts: Iterable[tuple[uuid.UUID, int | None, Body]]) -> defaultdict[NewestState, _Known]:
    readers: dict[str, list[tuple[NewestState, States]]] = defaultdict(list)
    for expected in NEWEST_STATES:
        for kind, read in expected.states.items():
            readers[kind].append((expected, read))
    known: defaultdict[NewestState, _Known] = defaultdict(_Known)
    for receipt_id, index, body in receipts:
        for expected, read in readers[body["kind"]]:
            try:
                for key, state in read(body):
                    known[expected].add(key, state, receipt=receipt_id, index=index)
            except (KeyError, UnknownPersonError):
                known[expected].is_unclear = True
    return known


def _person(body: Body, name: str = "principal") -> str:
    named = body["inputs"][name]
    if named and ids.parse_public_id(ids.ACCOUNT_LINK, named) is not None:
        raise UnknownPersonError
    return str(named or NONE)


def _public(prefix: str, row_id: uuid.UUID | None) -> str:
    return ids.public_id(prefix, row_id) if row_id else NONE


def _said(part: str, key: str, state: str) -> States:
    return lambda body: [(str(body[part][key]), state)]


def _revoked(body: Body) -> Iterable[tuple[str, str]]:
    return [(credential, "revoked") for credential in body["outcome"].get("revoked", ())]


def _in_force(body: Body) -> Iterable[tuple[str, str]]:
    return [(body["policy"]["policy"], body["subject"]["policy_version_id"])]


def _retired(body: Body) -> Iterable[tuple[str, str]]:
    return [(body["policy"]["policy"], NONE)] if body["outcome"]["was_in_force"] else []


def _emergency_ended(body: Body) -> Iterable[tuple[str, str]]:
    """Return nothing for an emergency publication that was withdrawn before it came into force."""
    outcome = body["outcome"]
    return [(body["policy"]["policy"], outcome["in_force"] or NONE)] if "in_force" in outcome else []


def _of_role(state: str) -> States:
    return lambda body: [(f"{_person(body)} {body['inputs']['role']}", state)]


def _confirmed(body: Body) -> Iterable[tuple[str, str]]:
    return [(f"{_person(body)} {controller}", "confirmed") for controller in body["inputs"]["depended_on"]]


def _current_version(
    kind: str, model: type[Model], prefix: str, *, key: tuple[str, str], version: str, what: str
) -> NewestState:
    """Return the expectation about the current version of a document. `key`: path of its slug in the receipts."""
    part, name = key
    return NewestState(
        f"current version of the {what}",
        {
            f"{kind}.version_added": lambda body: [(body[part][name], body["outcome"][version])],
            f"{kind}.withdrawn": _said(part, name, NONE),
        },
        model,
        lambda slug, current: (slug, _public(prefix, current)),
        ("slug", "current_version_id"),
    )


def _there_again(deletion: DeletionExpectation) -> NewestState:
    """Return the expectation that no row is present whose newest receipt says that it was removed."""

    def of(state: str) -> States:
        def read(body: Body) -> Iterable[tuple[str, str]]:
            if "principal" in body.get("inputs", {}):
                _person(body)
            return [(deletion.receipt_key(body), state)]

        return read

    return NewestState(
        deletion.kind.partition(".")[0],
        {deletion.created_kind: of("present"), deletion.kind: of("removed")},
        deletion.model,
        lambda *columns: (deletion.row_key(*columns), "present"),
        deletion.columns,
    )


def _rule_state(slug: str, *columns: Any) -> tuple[str, str]:
    is_required, end_asked_by = columns
    if not is_required:
        return slug, "not required"
    return slug, "required" if end_asked_by is None else "required, end requested"


NEWEST_STATES: Final = (
    NewestState(
        "credential",
        {
            "credential.revoked": _said("inputs", "credential", "revoked"),
            "member.removed": _revoked,
            "principal.access_ended": _revoked,
            "account.confirmed": _revoked,
        },
        Credential,
        lambda row_id, revoked_at: (
            ids.public_id(ids.CREDENTIAL, row_id),
            "not revoked" if revoked_at is None else "revoked",
        ),
        ("id", "revoked_at"),
    ),
    NewestState(
        "four-eyes rule",
        {
            "four_eyes.required": _said("inputs", "rule", "required"),
            "four_eyes.end_asked": _said("inputs", "rule", "required, end requested"),
            "four_eyes.ended": _said("inputs", "rule", "not required"),
        },
        FourEyesRule,
        _rule_state,
        ("slug", "is_required", "end_asked_by"),
        missing=frozenset({"required", "required, end requested", "not required"}),
    ),
    NewestState(
        "version in force of the policy",
        {
            "policy.published": _in_force,
            "policy.published_in_emergency": _in_force,
            "policy.retired": _retired,
            "policy.emergency_ended": _emergency_ended,
        },
        Policy,
        lambda slug, version: (slug, _public(ids.POLICY_VERSION, version)),
        ("slug", "in_force_id"),
    ),
    NewestState(
        "current version of the list",
        {
            "list.version_added": lambda body: [(body["inputs"]["list"], str(body["outcome"]["number"]))],
            "list.withdrawn": _said("inputs", "list", NONE),
        },
        List,
        lambda slug, number: (slug, str(number or NONE)),
        ("slug", "current_version__number"),
    ),
    _current_version(
        "workflow",
        Workflow,
        ids.WORKFLOW_VERSION,
        key=("subject", "workflow_id"),
        version="workflow_version_id",
        what="workflow",
    ),
    _current_version(
        "integration",
        Integration,
        ids.INTEGRATION_VERSION,
        key=("subject", "integration_id"),
        version="integration_version_id",
        what="integration",
    ),
    _current_version(
        "trusted_issuer",
        TrustedIssuer,
        ids.TRUSTED_ISSUER_VERSION,
        key=("inputs", "trusted_issuer"),
        version="trusted_issuer_version_id",
        what="trusted issuer",
    ),
    _current_version(
        "identity_provider",
        IdentityProvider,
        ids.IDENTITY_PROVIDER_VERSION,
        key=("inputs", "provider"),
        version="identity_provider_version_id",
        what="identity provider",
    ),
    _current_version(
        "retention_rule",
        RetentionRule,
        ids.RETENTION_VERSION,
        key=("inputs", "rule"),
        version="retention_version_id",
        what="retention rule",
    ),
    NewestState(
        "digest of the calendar",
        {"calendar.changed": lambda body: [(body["inputs"]["calendar"], body["inputs"]["spec_sha256"])]},
        Calendar,
        lambda slug, document: (slug, canonical_sha256(document)),
        ("slug", "document"),
    ),
    NewestState(
        "owner of",
        {
            "member.added": lambda body: [(_person(body), NONE)],
            "principal.owner_set": lambda body: [(_person(body), _person(body, "owner"))],
        },
        Membership,
        lambda user, owner: (ids.public_id(ids.PRINCIPAL, user), _public(ids.PRINCIPAL, owner)),
        ("user_id", "owner_id"),
    ),
    NewestState(
        "role of",
        {"role.granted": _of_role("granted"), "role.withdrawn": _of_role("withdrawn")},
        User.groups.through,
        lambda user, role: (f"{ids.public_id(ids.PRINCIPAL, user)} {role}", "granted"),
        ("user_id", "group__role__slug"),
        tenant="group__role__tenant_id",
    ),
    NewestState(
        "dependence of",
        {
            "account.dependent": lambda body: [(f"{_person(body)} {body['inputs']['depends_on']}", "open")],
            "account.confirmed": _confirmed,
        },
        AccountDependence,
        lambda user, controller, ended_at: (
            f"{ids.public_id(ids.PRINCIPAL, user)} {ids.public_id(ids.PRINCIPAL, controller)}",
            "open" if ended_at is None else "confirmed",
        ),
        ("user_id", "depends_on_id", "ended_at"),
        missing=frozenset({"open", "confirmed"}),
    ),
    *(_there_again(deletion) for deletion in EXPECTED_DELETION_RECEIPTS if deletion.model is not StoredSecret),
)
KINDS: Final = tuple({kind for expected in NEWEST_STATES for kind in expected.states})
