"""Parser of `kind: Overlay` documents, the bindings of policies to scopes. Pure.

kind: Overlay
policy: payments
scope: {workflow: payment_run}   # or {pack: …}, {channel: …}, {group: …} (of the requester), {tenant: true}
starts_at: "2026-12-24T00:00:00Z"   # inclusive; default: no start
ends_at: "2027-01-02T00:00:00Z"     # exclusive; default: no end
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.language.field_errors import FieldErrors
from policies.language.time_window import ALWAYS, TimeWindow, read_time_window
from threada_site.kernel.errors import DocumentInvalid
from threada_site.kernel.ids import is_slug

SCOPE_KINDS: Final = ("tenant", "pack", "workflow", "channel", "group")
"""Scope kinds, widest first."""


@dataclass(frozen=True, slots=True)
class OverlayScope:
    """The scope of an overlay: the tenant (`slug` is ""), a pack, a workflow, a channel, or a group of requesters."""

    kind: str
    slug: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the form used in documents and the API."""
        return {self.kind: self.slug or True}

    def __str__(self) -> str:
        return f"{self.kind} {self.slug}".rstrip()


TENANT_SCOPE: Final = OverlayScope("tenant")


@dataclass(frozen=True, slots=True)
class OverlayDocument:
    """A parsed overlay document."""

    policy: str
    scope: OverlayScope
    window: TimeWindow = ALWAYS


def parse_overlay(value: Any) -> OverlayDocument:
    """Parse a document. Raises `DocumentInvalid` with a `FieldError` for every error."""
    if not isinstance(value, Mapping):
        raise DocumentInvalid("An overlay is an object. Write {policy: payments, scope: {workflow: payment_run}}.")
    errors = FieldErrors()
    errors.known_fields(value, ("kind", "policy", "scope", "starts_at", "ends_at"), "")
    if "kind" in value:
        errors.one_of(value["kind"], ("Overlay",), "/kind", "kind of document here")
    policy = value.get("policy")
    if not isinstance(policy, str) or not is_slug(policy):
        errors.add("/policy", "Name a policy by its id.", "invalid" if "policy" in value else "required")
    scope = read_scope(value.get("scope"), "/scope", errors)
    window = read_time_window(value, "", errors)
    if errors.found:
        raise DocumentInvalid(errors=errors.found)
    return OverlayDocument(str(policy), scope, window)


def read_scope(value: Any, pointer: str, errors: FieldErrors) -> OverlayScope:
    """Parse a scope, `{tenant: true}` or `{kind: slug}`; add what is wrong to `errors`."""
    if not isinstance(value, Mapping) or len(value) != 1:
        errors.add(
            pointer, "Name one scope: {tenant: true}, {pack: …}, {workflow: …}, {channel: …} or {group: …}.", "required"
        )
        return TENANT_SCOPE
    ((kind, named),) = value.items()
    if not errors.one_of(kind, SCOPE_KINDS, f"{pointer}/{kind}", "scope"):
        return TENANT_SCOPE
    if kind == "tenant":
        if named is not True:
            errors.add(f"{pointer}/tenant", "Write {tenant: true}.")
        return TENANT_SCOPE
    if not isinstance(named, str) or not is_slug(named):
        errors.add(f"{pointer}/{kind}", f"Name a {kind} by its id.")
        return TENANT_SCOPE
    return OverlayScope(kind, named)
