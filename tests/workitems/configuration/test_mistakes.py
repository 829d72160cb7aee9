"""Typical mistakes in documents, with the exact answers that the documentation promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.conf import settings

from tests.factories import acting_system, make_principal
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.roles import define_role
from threada_site.kernel.context import EntryPoint, Scope
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid
from threada_site.tenancy.models import Tenant
from workitems.configuration.apply import apply_documents
from workitems.configuration.plans import plan_documents

PAGE = Path(settings.THREADA_BASE_DIR) / "docs" / "reference" / "document-mistakes.md"
_EXAMPLE = re.compile(r"^## (\d+\. [^\n]+)\n\n```yaml\n(.*?)```\n\n```text\n(.*?)```$", re.MULTILINE | re.DOTALL)
_BASE = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


def test_every_mistake_has_the_answer_of_the_documentation(tenant: Tenant, tmp_path: Any) -> None:
    page = PAGE.read_text()
    examples = _EXAMPLE.findall(page)
    assert len(examples) == page.count("\n## ") == 24
    ctx = acting_system(tenant, entry_point=EntryPoint.COMMAND)
    with unit_of_work(tenant.id):
        define_role("finance", frozenset({Scope.WORKITEMS_READ, Scope.DECISIONS_DECIDE}), ctx=ctx)
    for name in ("ann", "bob"):
        make_principal(tenant, name, roles=("finance",))
    base = _BASE.search(page)
    assert base is not None
    with unit_of_work(tenant.id):
        apply_documents(load_documents(base[1], source="base.yaml"), ctx=ctx)

    def answer(text: str) -> str:
        try:
            with unit_of_work(tenant.id):
                plan_documents(load_documents(text, source="file.yaml"), ctx=ctx, is_strict=True)
        except DocumentInvalid as error:
            return "".join(f"{entry.detail}\n" for entry in error.errors)
        return ""

    answers = {title: answer(text) for title, text, _ in examples}
    page_now = _EXAMPLE.sub(
        lambda found: f"## {found[1]}\n\n```yaml\n{found[2]}```\n\n```text\n{answers[found[1]]}```", page
    )
    (tmp_path / "document-mistakes.md").write_text(page_now)
    assert answers == {title: said for title, _, said in examples}, f"see {tmp_path}/document-mistakes.md"
