"""Documents of words by which work items are found, and the list of items whose document is outdated."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models

from threada_site.database.constraints import CaseVisibility, tenant_constraints
from threada_site.kernel import clock
from threada_site.tenancy.models import TenantRow


class SearchDocument(TenantRow):
    """The words of a work item. Its id is that of the item. Only the sweep of `workitems.search` writes it.

    Nobody queries `words` directly: row-level security would keep PostgreSQL from using their index, so
    `threada_search` does.
    """

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    words = SearchVectorField()

    class Meta:
        constraints = [
            *tenant_constraints("searchdocument", references=("work_item",)),
            CaseVisibility(name="searchdocument_visibility", spares_owner=True),
        ]
        indexes = [GinIndex(fields=["words"], name="searchdocument_words_idx", gin_pending_list_limit=512)]

    def __str__(self) -> str:
        return str(self.work_item_id)


class SearchChange(TenantRow):
    """A work item whose document must be written again."""

    work_item = models.ForeignKey(
        "workitems.WorkItem", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    noted_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [*tenant_constraints("searchchange", references=("work_item",))]
        indexes = [models.Index(fields=["tenant", "work_item"], name="searchchange_item_idx")]

    def __str__(self) -> str:
        return str(self.work_item_id)
