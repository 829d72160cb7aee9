"""Console page with the text diff of two policy versions."""

from __future__ import annotations

from typing import Any, Final

from django.http import QueryDict
from django.utils.translation import gettext as _

from policies import selectors
from policies.configuration.texts import document_text
from policies.models import Policy, PolicyVersion
from threada_site.admin.text_diff import diff_rows

_OFFERED: Final = 200


def comparison(policy: Policy, query: QueryDict) -> dict[str, Any]:
    """Return the template context: the requested versions, or the newest and the one in force or before it."""
    offered = list(selectors.policy_versions(policy).defer("document").order_by("-number")[:_OFFERED])
    after = _named(policy, query.get("to", "")) or (_whole(policy, offered[0]) if offered else None)
    before = _named(policy, query.get("from", "")) or _earlier(policy, offered, after)
    is_whole = query.get("all") == "1"
    rows = []
    if before is not None and after is not None:
        around = {"around": None} if is_whole else {}
        rows = diff_rows(document_text(before), document_text(after), **around)
    return {
        "offered": offered,
        "before": before,
        "after": after,
        "rows": rows,
        "is_whole": is_whole,
        "sides": [("from", _("From"), before), ("to", _("To"), after)],
    }


def _named(policy: Policy, name: str) -> PolicyVersion | None:
    return selectors.policy_version_named(policy, name[:80]) if name else None


def _earlier(policy: Policy, offered: list[PolicyVersion], after: PolicyVersion | None) -> PolicyVersion | None:
    if after is None:
        return None
    if policy.in_force_id and policy.in_force_id != after.id:
        return selectors.policy_versions(policy).filter(id=policy.in_force_id).first()
    older = [version for version in offered if version.number < after.number]
    return _whole(policy, older[0] if older else after)


def _whole(policy: Policy, version: PolicyVersion) -> PolicyVersion:
    return selectors.policy_versions(policy).get(id=version.id)
