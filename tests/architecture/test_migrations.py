"""Migrations are current, named, and keep away from application code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from threada_site.tenancy.schema.fingerprint import schema_lines
from threada_site.tenancy.schema.states import current_lines

ROOT = Path(__file__).resolve().parents[2]
FILES = [*ROOT.glob("*/migrations/0*.py"), *ROOT.glob("threada_site/*/migrations/0*.py")]


@pytest.mark.django_db
def test_models_and_migrations_agree() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
def test_all_migrations_make_the_recorded_schema() -> None:
    with connection.cursor() as cursor:
        found = schema_lines(cursor)
    assert sorted(set(found) ^ set(current_lines())) == [], (
        "Run `uv run manage.py write_schema` and commit threada_site/tenancy/schema/current.txt with your migration."
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}/{file.stem}")
def test_migrations_are_named(file: Path) -> None:
    assert not re.search(r"_auto_|alter_.*_and_more", file.stem)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}/{file.stem}")
def test_migrations_import_no_services(file: Path) -> None:
    imports = re.findall(r"^(?:from|import) (\S+)", file.read_text(), re.MULTILINE)
    assert [name for name in imports if re.search(r"\.(services|selectors|api|tasks)\b", name)] == []
