"""Payloads on pages: labels, order and formats of the version that the item follows, in the reader's locale."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from integrations.configuration.parsed_documents import action_of
from integrations.models import Execution
from policies import selectors as policy_selectors
from threada_site.admin.fields import fields as json_fields
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext
from threada_site.kernel.json.truncate import shorten
from threada_site.personal_data.erasable_fields import is_erased
from threada_site.tenancy.models import Membership, User
from workitems.display.fields import Row, fields, label_at, people_in, summary
from workitems.display.formats import locale_named
from workitems.display.html import label_html, rows_html, value_html
from workitems.items.lookalikes import lookalikes_in, texts_at
from workitems.items.titles import listed_title
from workitems.models import WorkItem

RELATED_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Contents:
    """A payload for a page. `summary` are label and value of the fields that people see first.

    `resembling` are the values that resemble earlier ones. `is_cut` is True if the payload was shortened.
    """

    whole: SafeString
    summary: list[tuple[SafeString, SafeString]]
    resembling: frozenset[str] = frozenset()
    is_cut: bool = False


def contents_of(item: WorkItem, payload: Any, *, ctx: ActingContext) -> Contents:
    """Return the payload of `item`, which may be shortened, as HTML. Nothing for removed contents."""
    document = policy_selectors.workflow_document(item.workflow_version_id, ctx=ctx)
    if is_erased(item.payload):
        return Contents(SafeString(""), [])
    alike = lookalikes_in(item, document)
    rows = described(document.payload_schema, payload, alike=alike, ctx=ctx)
    first = [(label_html(row), value_html(row)) for row in summary(rows, document.summary)]
    return Contents(rows_html(rows), first, texts_at(item, alike))


def payload_of(item: WorkItem, *, whole: bool, ctx: ActingContext) -> Contents:
    """Return the payload of `item` as HTML, shortened to the size of a page unless `whole` is set."""
    if whole or is_erased(item.payload):
        return contents_of(item, item.payload, ctx=ctx)
    shortened = shorten(item.payload)
    return replace(contents_of(item, shortened.value, ctx=ctx), is_cut=shortened.is_cut)


def related_to(item: WorkItem, found: QuerySet[WorkItem], *, ctx: ActingContext) -> dict[str, Any]:
    """Return the newest related items, each with its title, and the labels of the fields that relate them.

    `found` are those of `selectors.related_items`.
    """
    if not found:
        return {"related": [], "related_labels": []}
    document = policy_selectors.workflow_document(item.workflow_version_id, ctx=ctx)
    return {
        "related": [(one, listed_title(one)) for one in found],
        "related_labels": [label_at(document.payload_schema, pointer) for pointer in document.related_by],
    }


def described(
    schema: Mapping[str, Any], value: Any, *, alike: Collection[str] = (), ctx: ActingContext
) -> Sequence[Row]:
    """Return the rows of a value in the reader's locale and time zone. One statement if the value names people."""
    named = people_in(schema, value)
    people = _names_of(named, ctx=ctx) if named else {}
    return fields(
        schema, value, locale_named(get_language()), timezone.get_current_timezone(), people=people, alike=alike
    )


def resembling_in(item: WorkItem, *, ctx: ActingContext) -> frozenset[str]:
    """Return the values of a work item that resemble those of earlier ones."""
    document = policy_selectors.workflow_document(item.workflow_version_id, ctx=ctx)
    return frozenset() if is_erased(item.payload) else texts_at(item, lookalikes_in(item, document))


def input_of(execution: Execution, *, resembling: Collection[str] = (), ctx: ActingContext) -> SafeString:
    """Return the input of an execution as HTML, with the labels of the action's input schema if it has one."""
    schema = action_of(execution).input_schema if execution.input and not is_erased(execution.input) else None
    return (
        rows_html(described(schema, execution.input, ctx=ctx)) if schema else json_fields(execution.input, resembling)
    )


def labelled(rows: Sequence[Row]) -> Iterator[tuple[Row, str, str]]:
    """Yield each row, members after their object, with its caption and the dotted path that begins with `payload`.

    Nested rows have their path in the caption, and rows without a label of the schema have no other: no name of a
    requester looks like a label.
    """
    for row in rows:
        path = f"payload.{row.path}"
        yield row, f"{row.label} ({path})" if row.label and row.is_nested else row.label or path, path
        yield from labelled(row.rows)


def formatted_and_exact(row: Row, exact: str) -> str:
    """Return a formatted value with its exact one, because different values can have the same format."""
    if row.is_lookalike:
        return marked(exact, [exact])
    return f"{row.text} ({exact})" if row.text and row.text != exact else exact


def marked(text: str, alike: Collection[str]) -> str:
    """Return a text with a mark behind it if it contains one of `alike`, the values that resemble earlier ones."""
    return f"{text} [{_('resembles an earlier value')}]" if any(one in text for one in alike) else text


def _names_of(named: set[str], *, ctx: ActingContext) -> dict[str, str]:
    """Return the names of members by what a payload calls them: username or public id."""
    by_id = {parsed: text for text in named if (parsed := ids.parse_public_id(ids.PRINCIPAL, text))}
    members = User.objects.filter(id__in=Membership.objects.filter(tenant_id=ctx.tenant_id).values("user_id"))
    found = members.filter(id__in=by_id) | members.filter(username__in=named)
    names: dict[str, str] = {}
    for user in found:
        name = str(user)
        names |= {user.username: name, user.public_id: name}
    return names
