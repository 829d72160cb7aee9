"""Row-level security for each table: visible rows, writable rows and references."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, models, transaction

from tests.threada_site.tenancy.rows import RowMaker, check_constraints_now
from threada_site.database.constraints import AppendOnly, TenantForeignKey
from threada_site.database.roles import owner_role, platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import Tenant

TABLES = tenant_models()
APPEND_ONLY = [model for model in TABLES if any(isinstance(c, AppendOnly) for c in model._meta.constraints)]
CHANGEABLE = [model for model in TABLES if model not in APPEND_ONLY]
REFERENCES = [
    (model, constraint.field)
    for model in TABLES
    for constraint in model._meta.constraints
    if isinstance(constraint, TenantForeignKey)
]
name_of = pytest.mark.parametrize("model", TABLES, ids=lambda model: model._meta.label)


def rows_seen(model: type[models.Model]) -> set[object]:
    return set(model.objects.values_list("tenant_id", flat=True))


def test_parametrized_lists_are_not_empty() -> None:
    assert len(TABLES) >= 63
    assert len(APPEND_ONLY) >= 17
    assert len(REFERENCES) >= 44


def test_without_a_unit_of_work_no_table_shows_a_row(own: RowMaker, others: RowMaker) -> None:
    assert {model._meta.label: model.objects.count() for model in TABLES if model.objects.exists()} == {}


def test_unit_of_work_shows_only_its_own_tenant(own: RowMaker, others: RowMaker) -> None:
    with unit_of_work(own.tenant.id):
        seen = {model._meta.label: rows_seen(model) for model in TABLES}
        reached_by_name = [model for model in TABLES if model.objects.filter(tenant_id=others.tenant.id).exists()]
        reached_by_id = [model for model in TABLES if model.objects.filter(id=others.made[model].id).exists()]
    assert seen == {model._meta.label: {own.tenant.id} for model in TABLES}
    assert reached_by_name == []
    assert reached_by_id == []


def test_platform_role_sees_all_tenants_and_is_reset(own: RowMaker, others: RowMaker) -> None:
    with platform_role():
        seen = {model._meta.label: rows_seen(model) for model in TABLES}
    assert seen == {model._meta.label: {own.tenant.id, others.tenant.id} for model in TABLES}
    assert rows_seen(TABLES[0]) == set()


@name_of
def test_row_of_another_tenant_is_not_written(own: RowMaker, others: RowMaker, model: type[models.Model]) -> None:
    with unit_of_work(own.tenant.id):
        stray = others.build(model, **_references_of(model, others))
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            write(stray)


@name_of
def test_nothing_is_written_without_a_unit_of_work(own: RowMaker, model: type[models.Model]) -> None:
    stray = own.build(model, **_references_of(model, own))
    with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
        write(stray)


@pytest.mark.parametrize("model", CHANGEABLE, ids=lambda model: model._meta.label)
def test_rows_of_another_tenant_are_not_changed_deleted_or_moved(
    own: RowMaker, others: RowMaker, model: type[models.Model]
) -> None:
    table = model._meta.db_table
    with unit_of_work(own.tenant.id), connection.cursor() as cursor:
        cursor.execute(f'UPDATE "{table}" SET tenant_id = tenant_id WHERE tenant_id = %s', [others.tenant.id])
        assert cursor.rowcount == 0
        cursor.execute(f'DELETE FROM "{table}" WHERE tenant_id = %s', [others.tenant.id])
        assert cursor.rowcount == 0
        with pytest.raises(DatabaseError, match=r"row-level security|keeps its identity"), transaction.atomic():
            cursor.execute(f'UPDATE "{table}" SET tenant_id = %s', [others.tenant.id])


@pytest.mark.parametrize(("model", "field"), REFERENCES, ids=lambda part: getattr(part, "__name__", part))
def test_reference_to_a_row_of_another_tenant_is_refused(
    own: RowMaker, others: RowMaker, model: type[models.Model], field: str
) -> None:
    references = _references_of(model, own) | {f"{field}_id": _row_of_another_tenant(others, model, field)}
    stray = own.build(model, **_unlike_the_first(model, references, but=field))
    with (
        unit_of_work(own.tenant.id),
        pytest.raises(IntegrityError, match=f'"{model._meta.model_name}_{field}_fk"'),
        transaction.atomic(),
    ):
        save_and_check(stray)


def write(row: models.Model) -> None:
    """Insert values unchanged, bypassing the conversions that fields do before saving."""
    row.save_base(raw=True, force_insert=True)


def save_and_check(row: models.Model) -> None:
    write(row)
    check_constraints_now()


@pytest.mark.parametrize("model", APPEND_ONLY, ids=lambda model: model._meta.label)
class TestAppendOnly:
    def test_login_has_no_privilege_to_change_append_only_rows(self, own: RowMaker, model: type[models.Model]) -> None:
        with unit_of_work(own.tenant.id), connection.cursor() as cursor:
            for statement in ("UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"):
                with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                    cursor.execute(statement.format(model._meta.db_table))

    def test_trigger_prevents_the_owner_from_changing_rows(self, own: RowMaker, model: type[models.Model]) -> None:
        check_constraints_now()
        with owner_role(), connection.cursor() as cursor:
            for statement in ("UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"):
                with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                    cursor.execute(statement.format(model._meta.db_table))

    def test_retention_deletes_rows_but_changes_none(self, own: RowMaker, model: type[models.Model]) -> None:
        with platform_role(), connection.cursor() as cursor:
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                cursor.execute(f"UPDATE {model._meta.db_table} SET id = id")
            cursor.execute("SAVEPOINT before")
            cursor.execute(f"DELETE FROM {model._meta.db_table} WHERE tenant_id = %s", [own.tenant.id])
            assert cursor.rowcount >= 1
            cursor.execute("ROLLBACK TO SAVEPOINT before")


def test_tenant_with_rows_cannot_be_deleted(own: RowMaker) -> None:
    with pytest.raises(models.ProtectedError), unit_of_work(own.tenant.id):
        Tenant.objects.filter(id=own.tenant.id).delete()


def _row_of_another_tenant(others: RowMaker, model: type[models.Model], field: str) -> object:
    """Return the id of a row of another tenant; an unreferenced one if only one row may refer to it."""
    reference = model._meta.get_field(field)
    if not reference.one_to_one:
        return others.made[reference.related_model].id
    with unit_of_work(others.tenant.id):
        spare = others.build(reference.related_model, slug="spare")
        spare.save(force_insert=True)
    return spare.id


def _references_of(model: type[models.Model], maker: RowMaker) -> dict[str, object]:
    """Return ids of existing rows for every required reference, so that nothing else is inserted."""
    return {
        field.attname: maker.made[field.related_model].id
        for field in model._meta.local_concrete_fields
        if isinstance(field, models.ForeignKey) and field.related_model in maker.made
    }


def _unlike_the_first(model: type[models.Model], values: dict[str, object], *, but: str) -> dict[str, object]:
    """Return `values` with other numbers and slugs than the existing row, so that no unique key fails first."""
    others = {"slug": "another", "number": 2, "position": 2, "status": "rejected", "data_class": "other"}
    if model.__name__ == "PackMember":
        others["name"] = "another"
    if model.__name__ == "PolicyShadow":
        others["ended_at"] = clock.now()
    if model.__name__ == "RequesterQuestion":
        others |= {"status": "closed", "ended_at": clock.now()}
    if model.__name__ == "EmergencyPublication":
        others["status"] = "ended"
        if but != "version":
            values = values | {"version_id": ids.new_uuid()}
    names = {field.name for field in model._meta.local_concrete_fields}
    return values | {
        name: value for name, value in others.items() if name in names and model.__name__ != "PolicyVersion"
    }
