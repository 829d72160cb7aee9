"""Tools of MCP servers as rows."""

from __future__ import annotations

from django.db import models

from integrations.lifecycle import ToolStatus
from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock
from threada_site.tenancy.models import TenantRow


class ToolList(TenantRow):
    """The last reading of the tools of an integration. `base_url` is the address that they were read from."""

    integration = models.ForeignKey(
        "Integration", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    integration_version_id = models.UUIDField(null=True, help_text="Version of the last attempt to read.")
    base_url = models.CharField(max_length=2048, blank=True)
    protocol_version = models.CharField(max_length=10, blank=True, help_text="Version that the server speaks.")
    tried_at = models.DateTimeField(null=True)
    read_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(default=clock.now, help_text="Time of the next reading.")
    failures = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Since the last success.")
    problem = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            *tenant_constraints("toollist", references=("integration",)),
            models.UniqueConstraint(fields=["tenant", "integration"], name="toollist_integration_once"),
        ]
        indexes = [models.Index(fields=["due_at"], name="toollist_due_idx")]

    def __str__(self) -> str:
        return str(self.id)


class Tool(TenantRow):
    """A tool of an integration: the description that was found, and the one that a person accepted.

    A description is `{title, description, input_schema, output_schema, annotations}`. Its digest also covers the name.
    """

    integration = models.ForeignKey(
        "Integration", on_delete=models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    name = models.CharField(max_length=128)
    found = models.JSONField(null=True)
    found_sha256 = models.CharField(max_length=64, blank=True, help_text="Empty: the server does not offer it.")
    found_at = models.DateTimeField(default=clock.now)
    accepted = models.JSONField(null=True)
    accepted_sha256 = models.CharField(max_length=64, blank=True)
    accepted_by = models.UUIDField(null=True)
    accepted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            *tenant_constraints("tool", references=("integration",)),
            models.UniqueConstraint(fields=["tenant", "integration", "name"], name="tool_name_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> ToolStatus:
        """Return whether the tool can be called: only if the description found is the accepted one."""
        if not self.found_sha256:
            return ToolStatus.REMOVED
        if not self.accepted_sha256:
            return ToolStatus.PENDING
        return ToolStatus.ACCEPTED if self.found_sha256 == self.accepted_sha256 else ToolStatus.CHANGED
