"""Warnings about rules that lift the default exclusions (`exclude: []`). Pure."""

from __future__ import annotations

from typing import Final

from policies.language.rules import PolicyDocument
from threada_site.kernel.errors import FieldError
from threada_site.kernel.json.pointers import pointer_to

EXCLUSIONS_LIFTED: Final = "exclusions_lifted"


def lifted_exclusions(document: PolicyDocument) -> list[FieldError]:
    """Return a warning for every rule whose approval excludes nobody, with pointers into the spec."""
    return [
        FieldError(
            pointer_to("", "rules", index, "approvals", "exclude"),
            f"Rule {rule.id} excludes nobody: the requester, the last editor and the owner of an agent may approve "
            "their own request. Remove exclude to exclude them.",
            EXCLUSIONS_LIFTED,
        )
        for index, rule in enumerate(document.rules)
        if rule.approvals is not None and not rule.approvals.exclude
    ]
