"""Querysets read together contain what Django reads one by one, with one statement."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from tests.console.busy import Busy
from tests.journeys.demo import Demo
from threada_site.database.joint_reads import fetch_together
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import TenantRow
from workitems.models import DecisionStep, WorkItem


def _columns(row: Model) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_rows_are_those_that_django_reads(demo: Demo, busy_demo: Busy) -> None:
    models = [model for model in apps.get_models() if issubclass(model, TenantRow)]
    with unit_of_work(demo.tenant.id):
        plain = [list(model._default_manager.order_by("-pk")[:20]) for model in models]
        together = [model._default_manager.order_by("-pk")[:20] for model in models]
        with CaptureQueriesContext(connection) as captured:
            fetch_together(*together, WorkItem.objects.none(), None)
        assert len(captured) == 1
        assert sum(map(bool, plain)) > 40
        for found, expected in zip(together, plain, strict=True):
            assert [_columns(row) for row in found] == [_columns(row) for row in expected]
            assert [list(map(type, _columns(row).values())) for row in found] == [
                list(map(type, _columns(row).values())) for row in expected
            ], found.model
        assert len(captured) == 1


def test_relations_values_and_emptiness_are_kept(demo: Demo, busy_demo: Busy) -> None:
    with unit_of_work(demo.tenant.id):
        steps = DecisionStep.objects.select_related("work_item__requester", "execution", "claimed_by")
        names = WorkItem.objects.values_list("requester__username", flat=True).order_by("-id")
        expected = list(names.all())
        empty, nothing = WorkItem.objects.filter(workflow="100% none"), WorkItem.objects.filter(id__in=[])
        with CaptureQueriesContext(connection) as captured:
            fetch_together(steps, names, empty, nothing)
            found = [(step.work_item.requester.username, step.execution, step.claimed_by) for step in steps]
        assert len(captured) == 1
        assert (len(found), list(names), list(empty), list(nothing)) == (1, expected, [], [])
    with unit_of_work(demo.tenant.id):
        with CaptureQueriesContext(connection) as captured:
            fetch_together(WorkItem.objects.none(), None)
        assert len(captured) == 0


def test_rows_of_other_tenants_are_not_read(demo: Demo, busy_demo: Busy) -> None:
    from tests.factories import make_tenant

    with unit_of_work(make_tenant("other").id):
        items, steps = WorkItem.objects.all(), DecisionStep.objects.all()
        fetch_together(items, steps)
        assert (list(items), list(steps)) == ([], [])
