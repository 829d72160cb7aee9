"""Query parameters of lists: documented, typed filters. Unknown parameters are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.dateparse import parse_datetime

from threada_site.api.pagination import DEFAULT_LIMIT, limit_problem
from threada_site.database.case_visibility import keyset_column
from threada_site.database.keyset import NEWEST_FIRST, Order
from threada_site.kernel import errors, ids
from threada_site.kernel.documents.field_errors import nearest, suggestion
from threada_site.kernel.errors import FieldError

PAGE_PARAMETERS = ("cursor", "limit")
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
        found: dict[Any, None] = {}
        problems: list[forms.ValidationError] = []
        for text in dict.fromkeys(sent):
            try:
                found[self.each.clean(text)] = None
            except forms.ValidationError as problem:
                problems.append(problem)
        if problems:
            raise forms.ValidationError(problems)
        return [read for read in found if read not in (None, "")]


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
    bound = filterset(data=request.query_params, queryset=queryset)
    problems = [*_problems(bound, request.query_params)]
    if not problems:
        return bound.qs
    limit = limit_problem(request.query_params.get("limit", str(DEFAULT_LIMIT)))
    if limit is not None and all(problem.pointer != limit.pointer for problem in problems):
        problems.append(limit)
    raise errors.InvalidRequest("The query parameters are invalid.", errors=problems)


def _problems(bound: django_filters.FilterSet, sent: QueryDict) -> Iterator[FieldError]:
    """Yield the errors of all query parameters: those of their names and number first, then those of values."""
    known = [*bound.filters, *PAGE_PARAMETERS]
    named = set()
    for name, values in sent.lists():
        place = f"?{name}"
        if name not in known:
            yield FieldError(place, f"is not a parameter of this list.{suggestion(name, known)}", "unknown_parameter")
        elif len(values) > 1 and not isinstance(bound.filters.get(name), AnyOf):
            yield FieldError(place, "is given more than once", "repeated")
        elif any("\x00" in value for value in values):
            yield FieldError(place, "contains U+0000", "invalid")
        else:
            continue
        named.add(name)
    for name, problems in bound.form.errors.as_data().items():
        if name not in named:
            yield from (FieldError(f"?{name}", _said(problem, bound.filters[name])) for problem in problems)


def _said(problem: forms.ValidationError, of: django_filters.Filter) -> str:
    """Return the sentence about a value. For a wrong choice, it contains the allowed values and the closest one."""
    if problem.code != "invalid_choice":
        return " ".join(problem.messages)
    value = str((problem.params or {}).get("value", ""))[:80]
    allowed = [choice for choice, _ in (of.of if isinstance(of, AnyOf) else of).extra["choices"]]
    close = nearest(value, allowed)
    return f"{value!r} is not one of {', '.join(allowed)}." + (f" Did you mean {close}?" if close else "")


class NoFilters(django_filters.FilterSet):
    """Filter set of lists without filters; it refuses unknown parameters."""
