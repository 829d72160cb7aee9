"""Query parameters of lists: documented, typed filters. Unknown parameters are refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime

from threada_site.database.case_visibility import keyset_column
from threada_site.database.keyset import NEWEST_FIRST, Order
from threada_site.kernel import errors, ids
from threada_site.kernel.errors import FieldError

PAGE_PARAMETERS = frozenset({"cursor", "limit"})
MOST_VALUES = 50
"""Values of one parameter that may be repeated."""


class InstantField(forms.Field):
    """RFC 3339 instant with an offset."""

    def to_python(self, value: Any) -> datetime | None:
        if not value:
            return None
        try:
            instant = parse_datetime(value.replace(" ", "+"))
            if instant is not None and instant.tzinfo is not None:
                return instant.astimezone(UTC)
        except (ValueError, OverflowError):  # the first and the last possible day may be outside of UTC's range
            pass
        raise forms.ValidationError("must be an RFC 3339 instant with offset, such as 2026-01-31T09:30:00Z")


def read_instant(text: str | None) -> datetime | None:
    """Return the instant in a query parameter that `InstantFilter` has checked."""
    return InstantField(required=False).clean(text) if text else None


class WholeNumberField(forms.Field):
    """Whole number from 0, in ASCII digits."""

    def to_python(self, value: Any) -> int | None:
        if not value:
            return None
        if re.fullmatch(r"0|[1-9][0-9]{0,17}", value):
            return int(value)
        raise forms.ValidationError("must be a whole number")


class PublicIdField(forms.Field):
    """Public id with a given prefix."""

    def __init__(self, *, prefix: str, **kwargs: Any) -> None:
        self.prefix = prefix
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        if not value:
            return None
        parsed = ids.parse_public_id(self.prefix, value)
        if parsed is None:
            raise forms.ValidationError(f"must be an id of the form {self.prefix}_…")
        return parsed


class SeveralField(forms.Field):
    """Values of a parameter that may be repeated. Each is read by `each`; empty ones are left out."""

    widget = forms.MultipleHiddenInput

    def __init__(self, *, each: forms.Field, **kwargs: Any) -> None:
        self.each = each
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> list[Any]:
        sent = [value] if isinstance(value, str) else list(value or ())
        if len(sent) > MOST_VALUES:
            raise forms.ValidationError(f"may be given {MOST_VALUES} times at most")
        return list(dict.fromkeys(read for text in sent if (read := self.each.clean(text)) not in (None, "")))


class AnyOf(django_filters.Filter):
    """Filter by one of several values. Its parameter may be repeated; `of` is the filter of one value."""

    field_class = SeveralField

    def __init__(self, of: django_filters.Filter, *, method: str | None = None) -> None:
        self.of = of
        super().__init__(field_name=of.field_name, method=method, each=of.field)

    def filter(self, qs: QuerySet[Any], value: list[Any]) -> QuerySet[Any]:
        if not value:
            return qs
        one = len(value) == 1
        return qs.filter(**{self.field_name if one else f"{self.field_name}__in": value[0] if one else value})


class SortFilter(django_filters.ChoiceFilter):
    """Parameter `sort`: the names in `columns`, ascending, or descending with `-`. The view sorts."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.orders = {
            f"{sign}{name}": Order(column, descends=bool(sign))
            for name, column in columns.items()
            for sign in ("-", "")
        }
        super().__init__(choices=[(name, name) for name in self.orders])

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs


def order_of(filterset: type[django_filters.FilterSet], request: Any) -> Order:
    """Return the order that the checked parameter `sort` asks for: newest first without it."""
    return filterset.base_filters["sort"].orders.get(request.query_params.get("sort", ""), NEWEST_FIRST)


class SlugFilter(django_filters.CharFilter):
    """Filter by a slug."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=63, **kwargs)


class InstantFilter(django_filters.Filter):
    field_class = InstantField


class WholeNumberFilter(django_filters.Filter):
    field_class = WholeNumberField


class PublicIdFilter(django_filters.Filter):
    field_class = PublicIdField


class CreatedWindow(django_filters.FilterSet):
    """Filters `created_after` (inclusive) and `created_before` (exclusive), which use the time inside ids."""

    created_after = InstantFilter(method="filter_created_after")
    created_before = InstantFilter(method="filter_created_before")

    def filter_created_after(self, queryset: QuerySet[Any], _name: str, value: datetime) -> QuerySet[Any]:
        return queryset.filter(**{f"{keyset_column(queryset)}__gte": ids.first_id_at(value)})

    def filter_created_before(self, queryset: QuerySet[Any], _name: str, value: datetime) -> QuerySet[Any]:
        return queryset.filter(**{f"{keyset_column(queryset)}__lt": ids.first_id_at(value)})


def apply_filters(filterset: type[django_filters.FilterSet], queryset: QuerySet[Any], request: Any) -> QuerySet[Any]:
    """Filter `queryset` by the query parameters. Raise `InvalidRequest` with each invalid or unknown one."""
    known = PAGE_PARAMETERS | filterset.base_filters.keys()
    problems = [
        FieldError(f"?{name}", "is not a parameter of this list" + _nearest(name, known), "unknown_parameter")
        for name in request.query_params
        if name not in known
    ]
    problems += [
        FieldError(f"?{name}", "is given more than once", "repeated")
        for name in request.query_params
        if len(request.query_params.getlist(name)) > 1 and not isinstance(filterset.base_filters.get(name), AnyOf)
    ]
    problems += [
        FieldError(f"?{name}", "contains U+0000", "invalid")
        for name, values in request.query_params.lists()
        if any("\x00" in value for value in values)
    ]
    if problems:
        raise errors.InvalidRequest("The query parameters are invalid.", errors=problems)
    bound = filterset(data=request.query_params, queryset=queryset)
    if not bound.is_valid():
        raise errors.InvalidRequest(
            "The query parameters are invalid.",
            errors=[FieldError(f"?{name}", " ".join(map(str, messages))) for name, messages in bound.errors.items()],
        )
    return bound.qs


class NoFilters(django_filters.FilterSet):
    """Filter set of lists without filters; it refuses unknown parameters."""


def _nearest(name: str, known: frozenset[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
