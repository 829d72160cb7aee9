"""Unsafe migrations are rejected: one mutant for each rule, and the migrations of the product."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ModelState, ProjectState

from threada_site.database.migration_safety import unsafe_parts

OF_THE_FIRST_RELEASE = {("tenancy", "0002_functions")}
APPS = ("threada_site", "workitems", "policies", "integrations", "telemetry")
INDEX = models.Index(fields=["title"], name="thing_title")
CHECK = models.CheckConstraint(condition=models.Q(size__gt=0), name="thing_size")


def change(_apps: Any, _editor: Any) -> None:
    """Change rows, in a real migration."""


def change_in_batches(_apps: Any, _editor: Any) -> None:
    """Change rows in batches, in a real migration."""


change_in_batches.batch_size = 1000  # type: ignore[attr-defined]


def problems(*operations: Any, atomic: bool = True, compatible: bool | None = True) -> list[str]:
    """Return what is unsafe in a migration with these operations, after one that created `Thing`."""
    state = ProjectState()
    fields: list[tuple[str, models.Field[Any, Any]]] = [
        ("id", models.BigAutoField(primary_key=True)),
        ("title", models.CharField(max_length=50)),
        ("size", models.IntegerField(null=True)),
    ]
    state.add_model(ModelState("shop", "Thing", fields, options={"indexes": [INDEX]}))
    attributes: dict[str, Any] = {
        "operations": list(operations),
        "dependencies": [("shop", "0001_initial")],
        "atomic": atomic,
    }
    if compatible is not None:
        attributes["compatible_with_running_code"] = compatible
    return unsafe_parts(type("Migration", (migrations.Migration,), attributes)("0002_change", "shop"), state)


def added(field: models.Field[Any, Any]) -> migrations.AddField:
    return migrations.AddField("thing", "colour", field)


def altered(field: models.Field[Any, Any], name: str = "title") -> migrations.AlterField:
    return migrations.AlterField("thing", name, field)


MUTANTS: dict[str, tuple[Any, str]] = {
    "index": (migrations.AddIndex("thing", INDEX), "AddIndexConcurrently"),
    "index removed": (migrations.RemoveIndex("thing", "thing_title"), "RemoveIndexConcurrently"),
    "concurrently in a transaction": (AddIndexConcurrently("thing", INDEX), "needs atomic = False"),
    "constraint": (migrations.AddConstraint("thing", CHECK), "AddConstraintNotValid"),
    "not null": (added(models.TextField(default="red")), "inserts rows without the column"),
    "field with index": (added(models.TextField(null=True, db_index=True)), "its index blocks writing"),
    "field removed": (migrations.RemoveField("thing", "size"), "still uses"),
    "field renamed": (migrations.RenameField("thing", "size", "extent"), "still uses"),
    "model removed": (migrations.DeleteModel("Thing"), "still uses"),
    "model renamed": (migrations.RenameModel("Thing", "Item"), "still uses"),
    "table renamed": (migrations.AlterModelTable("Thing", "things"), "still uses"),
    "type": (altered(models.IntegerField()), "rewrites the table"),
    "narrower": (altered(models.CharField(max_length=20)), "rewrites the table"),
    "null forbidden": (altered(models.IntegerField(), "size"), "forbids null"),
    "unique": (altered(models.CharField(max_length=50, unique=True)), "its index blocks"),
    "unique together": (migrations.AlterUniqueTogether("thing", {("title", "size")}), "Build an index concurrently"),
    "rows in a transaction": (migrations.RunPython(change_in_batches), "atomic = False"),
    "SQL index": (migrations.RunSQL("CREATE INDEX i ON shop_thing (size)"), "creates an index without"),
    "SQL index removed": (migrations.RunSQL("DROP INDEX i"), "drops an index without"),
    "SQL lock": (migrations.RunSQL("LOCK TABLE shop_thing"), "locks a table"),
    "SQL type": (migrations.RunSQL("ALTER TABLE shop_thing ALTER COLUMN size TYPE bigint"), "type of a column"),
    "SQL not null": (migrations.RunSQL("ALTER TABLE shop_thing ALTER COLUMN size SET NOT NULL"), "SET NOT NULL"),
    "SQL constraint": (migrations.RunSQL("ALTER TABLE shop_thing ADD CONSTRAINT c CHECK (size > 0)"), "NOT VALID"),
    "SQL constraint beside a safe one": (
        migrations.RunSQL(
            ["ALTER TABLE a ADD CHECK (b > 0)", "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 1) NOT VALID"]
        ),
        "NOT VALID",
    ),
    "SQL renames": (migrations.RunSQL("ALTER TABLE shop_thing RENAME size TO extent"), "still uses"),
    "apart from the state": (
        migrations.SeparateDatabaseAndState([migrations.AddIndex("thing", INDEX)]),
        "AddIndexConcurrently",
    ),
    "SQL rows": (migrations.RunSQL("UPDATE shop_thing SET size = 1"), "all rows"),
    "SQL rewrite": (migrations.RunSQL("VACUUM FULL shop_thing"), "rewrites a table"),
    "SQL removes": (migrations.RunSQL("ALTER TABLE shop_thing DROP COLUMN size"), "still uses"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_unsafe_operation_is_rejected(mutant: str) -> None:
    operation, said = MUTANTS[mutant]
    [problem] = problems(operation)
    assert problem.startswith("shop.0002_change: ")
    assert said in problem


def test_unsafe_migration_is_rejected() -> None:
    [silent] = problems(compatible=None)
    assert "Say in compatible_with_running_code" in silent
    [at_once] = problems(migrations.RunPython(change), atomic=False)
    assert "batch_size" in at_once
    [mixed] = problems(added(models.TextField(null=True)), migrations.RunPython(change_in_batches), atomic=False)
    assert "its own migration" in mixed


def test_safe_migrations_are_accepted() -> None:
    new = migrations.CreateModel("Box", [("id", models.BigAutoField(primary_key=True)), ("at", models.DateField())])
    assert problems(new, migrations.AddIndex("box", models.Index(fields=["at"], name="box_at"))) == []
    assert problems(AddIndexConcurrently("thing", INDEX), atomic=False) == []
    assert problems(RemoveIndexConcurrently("thing", "thing_title"), atomic=False) == []
    assert problems(AddConstraintNotValid("thing", CHECK)) == []
    assert problems(added(models.TextField(null=True))) == []
    assert problems(added(models.TextField(db_default="red"))) == []
    assert problems(altered(models.CharField(max_length=80)), altered(models.TextField())) == []
    assert problems(migrations.RunPython(change_in_batches), atomic=False) == []
    assert problems(migrations.RunSQL("CREATE FUNCTION f() RETURNS void AS $$ UPDATE x SET y = 1 $$")) == []
    assert problems(migrations.RemoveField("thing", "size"), compatible=False) == []
    in_the_state = migrations.SeparateDatabaseAndState([], [migrations.RemoveField("thing", "size")])
    assert problems(in_the_state) == []


def test_migrations_of_the_product_are_safe() -> None:
    loader = MigrationLoader(None)
    found = [
        part
        for (app, name), migration in loader.disk_migrations.items()
        if type(migration).__module__.startswith(APPS) and (app, name) not in OF_THE_FIRST_RELEASE
        for part in unsafe_parts(migration, loader.project_state(migration.dependencies))
        if not name.startswith("0001")
    ]
    assert found == []
