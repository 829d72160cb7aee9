"""Errors of documents that others refer to: reported once, at their cause."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from policies.documents.overlay import parse_overlay
from policies.documents.policy import parse_policy
from threada_site.kernel.documents.structure import Structure
from threada_site.kernel.errors import FieldError, PolicyDocumentInvalid, ThreadaError
from workitems.configuration.kinds import KINDS
from workitems.configuration.order import id_of, kind_of, overridden
from workitems.configuration.pack_contents import Placed

type Reference = tuple[str, str]
"""Kind and id of a document."""
_LISTS: Final = re.compile(r"\blists\.([A-Za-z0-9_-]+)|\blists\[['\"]([^'\"]+)['\"]\]")
_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {"Policy": parse_policy, "Overlay": parse_overlay}
)


class FailedDocuments:
    """Documents of one folder that could not be applied. Errors of others that follow from that are left out."""

    def __init__(self, documents: Iterable[Placed]) -> None:
        self._policies = {id_of(entry): entry for entry in documents if kind_of(entry) == "Policy"}
        self._bound: dict[str, set[Reference]] = {}
        for entry in documents:
            if kind_of(entry) == "Overlay" and isinstance(entry.value.get("policy"), str):
                self._bound.setdefault(entry.value["policy"], set()).update(_scope(entry.value))
        self._failed: set[Reference] = set()
        self._unknown: set[str] = set()

    def add(self, document: Placed) -> None:
        """Note that `document` failed. Of a document of an unknown kind, only the id is known."""
        kind, name = kind_of(document), id_of(document)
        if kind in KINDS:
            self._failed.add((kind, name))
        elif name:
            self._unknown.add(name)

    def without_consequences(self, document: Placed, error: ThreadaError) -> tuple[FieldError, ...]:
        """Return the entries of `error`; of a document that refers to a failed one, those of its structure alone."""
        entries = tuple(error.errors) or (FieldError("", error.detail, error.reason_code),)
        if not self._refers_to_failed(document):
            return entries
        own = _structural_errors(document)
        return tuple(entry for entry in entries if (entry.pointer, entry.detail) in own)

    def place_of(self, document: Placed, error: ThreadaError) -> tuple[Placed, str]:
        """Return the document that the pointers of `error` are about, and the prefix of the pointers.

        Binding a policy checks its rules against the payload schemas: such errors are about the policy.
        """
        if kind_of(document) == "Overlay" and isinstance(error, PolicyDocumentInvalid):
            policy = self._policies.get(str(document.value.get("policy")))
            if policy is not None:
                return policy, "/spec"
        return document, ""

    def _refers_to_failed(self, document: Placed) -> bool:
        if not (self._failed or self._unknown):
            return False
        return any(
            (kind, name) in self._failed or (kind, "") in self._failed or name in self._unknown
            for kind, name in self._references(document)
        )

    def _references(self, document: Placed) -> Iterator[Reference]:
        value, kind = document.value, kind_of(document)
        spec = value.get("spec") if isinstance(value, Mapping) else None
        spec = spec if isinstance(spec, Mapping) else {}
        if kind == "Overlay":
            yield "Policy", str(value.get("policy"))
            yield from _scope(value)
        elif kind == "Policy":
            yield from self._bound.get(id_of(document), ())
            yield from (("Policy", name) for name in overridden(document))
            yield from _lists_of_rules(spec.get("rules"))
        elif kind == "Grant":
            for section, of_kind in (("workflows", "Workflow"), ("integrations", "Integration")):
                named = spec.get(section)
                yield from ((of_kind, name) for name in (named if isinstance(named, Mapping) else ()))
        elif kind == "Retention":
            yield "Workflow", str(spec.get("workflow"))
        elif kind in ("IdentityProvider", "TrustedIssuer"):
            yield from (("Role", text) for text in _texts(spec))


def _lists_of_rules(rules: Any) -> Iterator[Reference]:
    for rule in rules if isinstance(rules, list) else ():
        conditions = str(rule.get("when")) if isinstance(rule, Mapping) else ""
        yield from (("List", match[1] or match[2]) for match in _LISTS.finditer(conditions))


def _scope(value: Mapping[str, Any]) -> set[Reference]:
    scope = value.get("scope")
    return {(kind.capitalize(), str(name)) for kind, name in scope.items()} if isinstance(scope, Mapping) else set()


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for child in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(child)


def _structural_errors(document: Placed) -> set[tuple[str, str]]:
    """Return pointers and sentences of the errors that do not depend on other documents."""
    kind = kind_of(document)
    try:
        if kind in _PARSERS:
            _PARSERS[kind](document.value)
            return set()
        errors = Structure(KINDS[kind].schema()).check(document.value)
        errors.raise_any(value=document.value)
    except ThreadaError as error:
        return {(entry.pointer, entry.detail) for entry in error.errors}
    return set()
