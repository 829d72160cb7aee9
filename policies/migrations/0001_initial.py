from pathlib import Path

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import CASCADE, PROTECT

from threada_site.database.constraints import AppendOnly, CaseVisibility, RowLevelSecurity, TenantForeignKey
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import new_salt
from threada_site.tenancy.models import SlugColumn

SQL = Path(__file__).resolve().parent / "_v1"

TENANT = {"db_index": False, "editable": False, "on_delete": PROTECT, "related_name": "+", "to": "tenancy.tenant"}


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenancy", "0002_functions")]

    operations = [
        migrations.CreateModel(
            name="Channel",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("name", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="channel_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="channel_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="channel_slug_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Calendar",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("document", models.JSONField()),
                ("time_zone", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("updated_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="calendar_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="calendar_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant",), name="calendar_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="PolicyDecision",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("work_item_id", models.UUIDField()),
                ("execution_id", models.UUIDField(null=True)),
                ("point", models.CharField(max_length=8)),
                ("outcome", models.CharField(max_length=16)),
                ("reason_codes", models.JSONField(default=list)),
                ("matched", models.JSONField(default=list)),
                ("rule_errors", models.JSONField(default=list)),
                ("versions", models.JSONField(default=list)),
                ("list_versions", models.JSONField(default=dict)),
                ("approvals", models.JSONField(null=True)),
                ("trace", models.JSONField(default=list)),
                ("facts", models.BinaryField()),
                ("facts_sha256", models.CharField(max_length=64)),
                ("policy_version_id", models.UUIDField(help_text="The version of the deciding rule.", null=True)),
                ("engine", models.CharField(max_length=64)),
                ("duration_us", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "work_item_id", "id"], name="policydecision_item_idx")],
                "constraints": [
                    RowLevelSecurity(name="policydecision_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="policydecision_tenant_id_key"),
                    CaseVisibility(item="work_item_id", name="policydecision_visibility"),
                    AppendOnly(emptied=("facts", "rule_errors"), name="policydecision_append_only"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Pack",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("name", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="pack_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="pack_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="pack_slug_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="PackVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "pack",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="policies.pack",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("label", models.CharField(max_length=64)),
                ("spec", models.JSONField()),
                ("spec_sha256", models.CharField(max_length=64)),
                (
                    "revision",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Revision of the files it was applied from.",
                        max_length=100,
                    ),
                ),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="packversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="packversion_tenant_id_key"),
                    TenantForeignKey(field="pack", name="packversion_pack_fk"),
                    models.UniqueConstraint(fields=("tenant", "pack", "number"), name="packversion_number_once"),
                    AppendOnly(name="packversion_append_only"),
                ]
            },
        ),
        migrations.AddField(
            model_name="pack",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="policies.packversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="pack", constraint=TenantForeignKey(field="current_version", name="pack_current_version_fk")
        ),
        migrations.CreateModel(
            name="PackMember",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "pack",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="members",
                        to="policies.pack",
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                ("name", models.CharField(max_length=200)),
                ("document_sha256", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="packmember_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="packmember_tenant_id_key"),
                    TenantForeignKey(field="pack", name="packmember_pack_fk"),
                    models.UniqueConstraint(fields=("tenant", "kind", "name"), name="packmember_in_one_pack"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Workflow",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("name", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "permissions": [
                    ("workitems_read", "workitems:read"),
                    ("workitems_write", "workitems:write"),
                    ("workitems_on_behalf", "workitems:on_behalf"),
                    ("decisions_decide", "decisions:decide"),
                    ("actions_execute", "actions:execute"),
                ],
                "constraints": [
                    RowLevelSecurity(name="workflow_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="workflow_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="workflow_slug_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkflowVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "workflow",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="policies.workflow",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("spec", models.JSONField()),
                ("spec_sha256", models.CharField(max_length=64)),
                (
                    "revision",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Revision of the files it was applied from.",
                        max_length=100,
                    ),
                ),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="workflowversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="workflowversion_tenant_id_key"),
                    TenantForeignKey(field="workflow", name="workflowversion_workflow_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "workflow", "number"), name="workflowversion_number_once"
                    ),
                    AppendOnly(name="workflowversion_append_only"),
                ]
            },
        ),
        migrations.AddField(
            model_name="workflow",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="policies.workflowversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=TenantForeignKey(field="current_version", name="workflow_current_version_fk"),
        ),
        migrations.CreateModel(
            name="List",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="list_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="list_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="list_slug_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="ListVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "list",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="policies.list",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("spec", models.JSONField()),
                ("spec_sha256", models.CharField(max_length=64)),
                (
                    "revision",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Revision of the files it was applied from.",
                        max_length=100,
                    ),
                ),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="listversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="listversion_tenant_id_key"),
                    TenantForeignKey(field="list", name="listversion_list_fk"),
                    models.UniqueConstraint(fields=("tenant", "list", "number"), name="listversion_number_once"),
                    AppendOnly(name="listversion_append_only"),
                ]
            },
        ),
        migrations.AddField(
            model_name="list",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="policies.listversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="list", constraint=TenantForeignKey(field="current_version", name="list_current_version_fk")
        ),
        migrations.CreateModel(
            name="Policy",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "verbose_name_plural": "policies",
                "constraints": [
                    RowLevelSecurity(name="policy_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="policy_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="policy_slug_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="policies.policy",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("status", models.CharField(default="draft", max_length=16)),
                ("document", models.JSONField()),
                ("document_sha256", models.CharField(max_length=64)),
                (
                    "revision",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Revision of the files it was applied from.",
                        max_length=100,
                    ),
                ),
                ("created_by", models.UUIDField(null=True)),
                (
                    "written_by",
                    ArrayField(
                        base_field=models.UUIDField(),
                        default=list,
                        help_text="Principals who created or edited it; under four eyes they cannot publish it.",
                    ),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("published_by", models.UUIDField(null=True)),
                ("published_at", models.DateTimeField(null=True)),
                (
                    "superseded_at",
                    models.DateTimeField(
                        help_text="Open steps that pin it accept no votes since then, because a newer version applies to them.",
                        null=True,
                    ),
                ),
                ("retired_by", models.UUIDField(null=True)),
                ("retired_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="policyversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="policyversion_tenant_id_key"),
                    TenantForeignKey(field="policy", name="policyversion_policy_fk"),
                    models.UniqueConstraint(fields=("tenant", "policy", "number"), name="policyversion_number_once"),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["draft", "published", "retired"])),
                        name="policyversion_status_known",
                    ),
                ]
            },
        ),
        migrations.AddField(
            model_name="policy",
            name="in_force",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="policies.policyversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="policy", constraint=TenantForeignKey(field="in_force", name="policy_in_force_fk")
        ),
        migrations.CreateModel(
            name="PolicyReplay",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=PROTECT, related_name="+", to="policies.policy"
                    ),
                ),
                (
                    "policy_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The replayed version; null for a document from a file.",
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to="policies.policyversion",
                    ),
                ),
                ("document", models.JSONField()),
                ("document_sha256", models.CharField(max_length=64)),
                (
                    "scopes",
                    models.JSONField(
                        help_text="Scopes of the replayed document; null: the recorded scopes of the policy.", null=True
                    ),
                ),
                ("against", models.CharField(default="in_force", max_length=16)),
                (
                    "baseline",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        help_text="The baseline version; null: the recorded decisions.",
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to="policies.policyversion",
                    ),
                ),
                (
                    "baseline_scopes",
                    models.JSONField(help_text="Scopes of the baseline when the replay was requested.", null=True),
                ),
                ("from_id", models.UUIDField(help_text="The first decision id of the time window.")),
                ("before_id", models.UUIDField(help_text="The first decision id after the time window.")),
                ("requested_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "requested"),
                            ("running", "running"),
                            ("finished", "finished"),
                            ("failed", "failed"),
                            ("cancelled", "cancelled"),
                        ],
                        default="requested",
                        max_length=16,
                    ),
                ),
                ("attempt", models.PositiveIntegerField(default=0)),
                (
                    "lease_until",
                    models.DateTimeField(help_text="End of the lease of the worker that runs it.", null=True),
                ),
                (
                    "lost",
                    models.PositiveIntegerField(default=0, help_text="Worker crashes since the last completed batch."),
                ),
                ("cursor", models.UUIDField(null=True)),
                ("replayed", models.BigIntegerField(default=0)),
                ("flipped", models.BigIntegerField(default=0)),
                ("not_replayable", models.BigIntegerField(default=0)),
                ("summary", models.JSONField(default=dict)),
                ("failure", models.CharField(blank=True, max_length=64)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "policy replay",
                "indexes": [
                    models.Index(
                        condition=models.Q(
                            (
                                "status__in",
                                [
                                    "requested",
                                    "running",
                                ],
                            )
                        ),
                        fields=["status", "lease_until"],
                        name="policyreplay_open_idx",
                    ),
                    models.Index(fields=["tenant", "document_sha256"], name="policyreplay_document_idx"),
                ],
                "constraints": [
                    RowLevelSecurity(name="policyreplay_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="policyreplay_tenant_id_key"),
                    TenantForeignKey(field="policy", name="policyreplay_policy_fk"),
                    TenantForeignKey(field="policy_version", name="policyreplay_policy_version_fk"),
                    TenantForeignKey(field="baseline", name="policyreplay_baseline_fk"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "finished"), _negated=True),
                            ("finished_at__isnull", False),
                            _connector="OR",
                        ),
                        name="policyreplay_finished_is_dated",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReplayFinding",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "replay",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="findings",
                        to="policies.policyreplay",
                    ),
                ),
                ("decision_id", models.UUIDField()),
                ("kind", models.CharField(max_length=16)),
                (
                    "case",
                    models.JSONField(help_text="Names and ids of work item, execution, workflow, channel and point."),
                ),
                ("found", models.JSONField()),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="replayfinding_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="replayfinding_tenant_id_key"),
                    TenantForeignKey(field="replay", name="replayfinding_replay_fk"),
                    models.UniqueConstraint(fields=("tenant", "replay", "decision_id"), name="replayfinding_once"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["flip", "asking", "not_replayable"])),
                        name="replayfinding_kind_known",
                    ),
                    AppendOnly(name="replayfinding_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="PolicyShadow",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False, db_index=False, on_delete=PROTECT, related_name="+", to="policies.policy"
                    ),
                ),
                (
                    "policy_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="policies.policyversion",
                    ),
                ),
                (
                    "document",
                    models.JSONField(help_text="The document when the shadow was started; a draft may change."),
                ),
                ("document_sha256", models.CharField(max_length=64)),
                ("from_id", models.UUIDField(help_text="The first decision id that is compared.")),
                ("settled", models.UUIDField()),
                ("started_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("ends_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "active"), ("ended", "ended")],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("compared", models.BigIntegerField(default=0)),
                ("flipped", models.BigIntegerField(default=0)),
                ("not_replayable", models.BigIntegerField(default=0)),
                (
                    "failed",
                    models.BigIntegerField(
                        default=0, help_text="Failed comparisons; the live decisions are unaffected."
                    ),
                ),
                ("summary", models.JSONField(default=dict)),
            ],
            options={
                "verbose_name": "policy shadow",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "active")), fields=["ends_at"], name="policyshadow_active_idx"
                    )
                ],
                "constraints": [
                    RowLevelSecurity(name="policyshadow_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="policyshadow_tenant_id_key"),
                    TenantForeignKey(field="policy", name="policyshadow_policy_fk"),
                    TenantForeignKey(field="policy_version", name="policyshadow_policy_version_fk"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "active")),
                        fields=("tenant", "policy_version"),
                        name="policyshadow_one_active",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status", "active"),
                            ("ended_at__isnull", False),
                            _connector="OR",
                        ),
                        name="policyshadow_ended_is_dated",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ShadowResult",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "shadow",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="results",
                        to="policies.policyshadow",
                    ),
                ),
                ("decision_id", models.UUIDField()),
                ("kind", models.CharField(max_length=16)),
                (
                    "case",
                    models.JSONField(help_text="Names and ids of work item, execution, workflow, channel and point."),
                ),
                ("found", models.JSONField(default=dict)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="shadowresult_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="shadowresult_tenant_id_key"),
                    TenantForeignKey(field="shadow", name="shadowresult_shadow_fk"),
                    models.UniqueConstraint(fields=("tenant", "shadow", "decision_id"), name="shadowresult_once"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["same", "flip", "asking", "not_replayable", "failed"])),
                        name="shadowresult_kind_known",
                    ),
                    AppendOnly(name="shadowresult_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="EmergencyPublication",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="emergencies",
                        to="policies.policy",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="emergencies",
                        to="policies.policyversion",
                    ),
                ),
                ("replaced_version_id", models.UUIDField(null=True)),
                ("reason", models.CharField(max_length=500)),
                (
                    "reason_salt",
                    models.BinaryField(
                        default=new_salt, help_text="Salt of the commitment in the receipt.", max_length=16
                    ),
                ),
                ("status", models.CharField(default="open", max_length=16)),
                ("published_by", models.UUIDField()),
                ("published_at", models.DateTimeField(default=clock.now, editable=False)),
                ("takes_effect_at", models.DateTimeField()),
                ("document_sha256", models.CharField(max_length=64)),
                ("applies_to_open", models.BooleanField(default=False)),
                ("ends_at", models.DateTimeField()),
                ("closed_by", models.UUIDField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "open")), fields=["ends_at"], name="emergencypublication_ends_idx"
                    ),
                    models.Index(
                        condition=models.Q(("status", "announced")),
                        fields=["takes_effect_at"],
                        name="emergencypublication_due_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="emergencypublication_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="emergencypublication_tenant_id_key"),
                    TenantForeignKey(field="policy", name="emergencypublication_policy_fk"),
                    TenantForeignKey(field="version", name="emergencypublication_version_fk"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "withdrawn"), _negated=True),
                        fields=("tenant", "version"),
                        name="emergencypublication_version_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["announced", "open"])),
                        fields=("tenant", "policy"),
                        name="emergencypublication_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "status__in",
                                ["announced", "open", "confirmed", "replaced", "retired", "ended", "withdrawn"],
                            )
                        ),
                        name="emergencypublication_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "confirmed"), _negated=True),
                            models.Q(
                                ("closed_by__isnull", False),
                                models.Q(("closed_by", models.F("published_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="emergencypublication_confirmed_by_another",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Overlay",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="overlays",
                        to="policies.policy",
                    ),
                ),
                (
                    "scope_kind",
                    models.CharField(
                        choices=[
                            ("tenant", "tenant"),
                            ("pack", "pack"),
                            ("workflow", "workflow"),
                            ("channel", "channel"),
                            ("group", "group"),
                        ],
                        max_length=8,
                    ),
                ),
                ("scope_slug", models.CharField(blank=True, max_length=63)),
                ("starts_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="overlay_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="overlay_tenant_id_key"),
                    TenantForeignKey(field="policy", name="overlay_policy_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "policy", "scope_kind", "scope_slug"), name="overlay_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("scope_kind__in", ["tenant", "pack", "workflow", "channel", "group"])),
                        name="overlay_scope_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("starts_at__isnull", True),
                            ("ends_at__isnull", True),
                            ("ends_at__gt", models.F("starts_at")),
                            _connector="OR",
                        ),
                        name="overlay_window_not_empty",
                    ),
                ]
            },
        ),
        migrations.RunSQL(
            (SQL / "published_versions.sql").read_text(),
            "DROP TRIGGER published_versions_never_change ON policies_policyversion; "
            "DROP FUNCTION threada_keep_published_version();",
        ),
    ]
