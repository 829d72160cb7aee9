"""Cells and words of access lists: what a member holds, since when and by whom it was given, when it was last used."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.identity.access_reviews.holdings import Held, Holding
from threada_site.kernel import ids
from threada_site.tenancy.models import User

_KINDS: Final[dict[str, Promise]] = {
    "role": gettext_lazy("role"),
    "group": gettext_lazy("group"),
    "scope": gettext_lazy("scope"),
    "credential": gettext_lazy("credential"),
    "break_glass": gettext_lazy("break-glass sign-in beside"),
}
SEPARATOR: Final = SafeString('<span class="t-visually-hidden">; </span>')


def held_cell(holding: Holding, kinds: Iterable[str]) -> Any:
    """Return what a member holds of these kinds, one thing a line, with time and giver."""
    lines = [_line(one, holding.names) for kind in kinds for one in holding.of(kind)]
    return _listed(lines)


def _line(one: Held, names: Mapping[uuid.UUID, str]) -> Any:
    said: list[Any] = []
    if one.since is not None:
        said.append(f"{one.since:%Y-%m-%d}")
        said.append(names.get(one.by, "") if one.by else _("operator"))
    if one.kind == "credential":
        said.append(
            _("last used {day}").format(day=f"{one.used_at:%Y-%m-%d}") if one.used_at is not None else _("never used")
        )
    return line_of(one.kind, one.name, ", ".join(filter(None, [one.label, *said])))


def line_of(kind: str, name: str, said: str) -> Any:
    """Return one thing that is held: its kind in words, its name, and what is known about it."""
    prefix = "" if kind in ("role", "group") else f"{_KINDS.get(kind, kind)} "
    return format_html('{}{} <span class="t-small t-subtle">{}</span>', prefix, html.tags([name]), said)


def fixed_cell(holds: Mapping[str, Any], names: Mapping[str, str]) -> Any:
    """Return what an entry of a review fixed, as `held_cell` does."""
    lines = []
    for one in holds.get("holds", ()):
        said = [one["since"][:10], names.get(one["by"], "") if one["by"] else _("operator")] if one["since"] else []
        if one["kind"] == "credential":
            used = one.get("last_used_at")
            said.append(_("last used {day}").format(day=used[:10]) if used else _("never used"))
        lines.append(line_of(one["kind"], one["name"], ", ".join(filter(None, said))))
    return _listed(lines)


def _listed(lines: list[Any]) -> Any:
    """Return lines below each other, separated by a semicolon where there is no layout, as in a download."""
    if not lines:
        return html.NOTHING
    return format_html_join(SEPARATOR, "<div>{}</div>", ((line,) for line in lines))


def names_in(fixed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the names of the people whom entries name by id."""
    said = {holds.get(key) for holds in fixed for key in ("by", "owner")}
    said |= {one["by"] for holds in fixed for one in holds.get("holds", ())}
    parsed = {name: ids.parse_public_id(ids.PRINCIPAL, name) for name in said if name}
    found = dict(User.objects.filter(id__in=[one for one in parsed.values() if one]).values_list("id", "username"))
    return {name: found[one] for name, one in parsed.items() if one in found}
