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

from policies.language.time_window import ALWAYS, TimeWindow, instant, read_time_window
from threada_site.kernel.documents.kind_schema import DRAFT
from threada_site.kernel.documents.structure import SLUG, Structure, closed_object

SCOPE_KINDS: Final = ("tenant", "pack", "workflow", "channel", "group")
"""Scope kinds, widest first."""


_SCOPE_ADVICE: Final = "Name one scope: {tenant: true}, {pack: …}, {workflow: …}, {channel: …} or {group: …}."
_SCOPES: Final = {
    "tenant": {"const": True, "description": "All requests of the tenant.", "errorMessage": "Write {tenant: true}."},
    **{
        kind: {**SLUG, "description": f"Id of the {kind}.", "errorMessage": f"Name a {kind} by its id."}
        for kind in SCOPE_KINDS[1:]
    },
}
OVERLAY_SCHEMA: Final = Structure(
    {
        "$schema": DRAFT,
        "title": "Overlay",
        "description": "Binds a policy to a scope. Narrower scopes can override rules of wider ones.",
        **closed_object(
            {
                "kind": {"const": "Overlay", "title": "kind of document here"},
                "policy": {
                    **SLUG,
                    "description": "Id of the policy.",
                    "examples": ["payments"],
                    "errorMessage": "Name a policy by its id.",
                },
                "scope": closed_object(
                    _SCOPES,
                    minProperties=1,
                    maxProperties=1,
                    description="Requests that the policy decides about.",
                    examples=[{"workflow": "payment_run"}],
                    errorMessage=_SCOPE_ADVICE,
                ),
                "starts_at": instant("Start of the time window, inclusive. Default: no start."),
                "ends_at": instant("End of the time window, exclusive. Default: no end."),
            },
            required=("policy", "scope"),
            errorMessage="An overlay is an object. Write {policy: payments, scope: {workflow: payment_run}}.",
        ),
    }
)


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


@dataclass(frozen=True, slots=True)
class OverlayDocument:
    """A parsed overlay document."""

    policy: str
    scope: OverlayScope
    window: TimeWindow = ALWAYS


def parse_overlay(value: Any) -> OverlayDocument:
    """Parse a document. Raises `DocumentInvalid` with a `FieldError` for every error."""
    errors = OVERLAY_SCHEMA.check(value)
    window = ALWAYS
    if isinstance(value, Mapping) and all(errors.is_clean(f"/{name}") for name in ("starts_at", "ends_at")):
        window = read_time_window(value, "", errors)
    errors.raise_any(value=value)
    ((kind, slug),) = value["scope"].items()
    return OverlayDocument(value["policy"], OverlayScope(kind, "" if kind == "tenant" else slug), window)
