"""`flush` empties all tables, including append-only tables and the job queue, and restores their protection."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from tests.factories import make_tenant
from tests.jobs import count_of_jobs
from tests.threada_site.tenancy.rows import RowMaker
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.enqueue import enqueue
from threada_site.tenancy.isolation_checks import tenant_models


@pytest.mark.django_db(transaction=True)
def test_flush_leaves_no_row_and_every_table_protected() -> None:
    tenant = make_tenant()
    RowMaker(tenant).one_of_each()
    with unit_of_work(tenant.id):
        enqueue("workitems.decide_intake", tenant_id=tenant.id)
    call_command("flush", interactive=False, verbosity=0)
    with platform_role(), connection.cursor() as cursor:
        assert [model for model in tenant_models() if model.objects.exists()] == []
        assert count_of_jobs() == 0
        cursor.execute("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'append_only%' AND tgenabled <> 'O'")
        assert cursor.fetchone() == (0,)
    assert make_tenant().slug == "acme"
