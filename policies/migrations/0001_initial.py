import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids
import threada_site.tenancy.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenancy", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Channel",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "slug",
                    threada_site.tenancy.models.SlugColumn(
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="List",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "slug",
                    threada_site.tenancy.models.SlugColumn(
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="ListVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("items", models.JSONField()),
                ("items_sha256", models.CharField(max_length=64)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="Overlay",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "scope_kind",
                    models.CharField(
                        choices=[("tenant", "tenant"), ("workflow", "workflow"), ("channel", "channel")], max_length=8
                    ),
                ),
                ("scope_slug", models.CharField(blank=True, max_length=63)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="Policy",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "slug",
                    threada_site.tenancy.models.SlugColumn(
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
            options={
                "verbose_name_plural": "policies",
            },
        ),
        migrations.CreateModel(
            name="PolicyDecision",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
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
                ("policy_version_id", models.UUIDField(help_text="The version whose rule decided.", null=True)),
                ("engine", models.CharField(max_length=64)),
                ("duration_us", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("status", models.CharField(default="draft", max_length=16)),
                ("document", models.JSONField()),
                ("document_sha256", models.CharField(max_length=64)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("published_by", models.UUIDField(null=True)),
                ("published_at", models.DateTimeField(null=True)),
                ("retired_by", models.UUIDField(null=True)),
                ("retired_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Workflow",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "slug",
                    threada_site.tenancy.models.SlugColumn(
                        max_length=63,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=200)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
            options={
                "permissions": [
                    ("workitems_read", "workitems:read"),
                    ("workitems_write", "workitems:write"),
                    ("workitems_on_behalf", "workitems:on_behalf"),
                    ("decisions_decide", "decisions:decide"),
                    ("actions_execute", "actions:execute"),
                ],
            },
        ),
        migrations.CreateModel(
            name="WorkflowVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("spec", models.JSONField()),
                ("spec_sha256", models.CharField(max_length=64)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.AddField(
            model_name="channel",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="list",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="listversion",
            name="list",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="policies.list",
            ),
        ),
        migrations.AddField(
            model_name="listversion",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="list",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="policies.listversion",
            ),
        ),
        migrations.AddField(
            model_name="overlay",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="overlay",
            name="policy",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="overlays",
                to="policies.policy",
            ),
        ),
        migrations.AddField(
            model_name="policydecision",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="policy",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="policies.policy",
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="policy",
            name="in_force",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="policies.policyversion",
            ),
        ),
        migrations.AddField(
            model_name="workflow",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="workflowversion",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddField(
            model_name="workflowversion",
            name="workflow",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="policies.workflow",
            ),
        ),
        migrations.AddField(
            model_name="workflow",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="policies.workflowversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="channel",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="channel_rls"),
        ),
        migrations.AddConstraint(
            model_name="channel",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="channel_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="channel",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="channel_slug_once"),
        ),
        migrations.AddConstraint(
            model_name="listversion",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="listversion_rls"),
        ),
        migrations.AddConstraint(
            model_name="listversion",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="listversion_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="listversion",
            constraint=threada_site.database.constraints.TenantForeignKey(field="list", name="listversion_list_fk"),
        ),
        migrations.AddConstraint(
            model_name="listversion",
            constraint=models.UniqueConstraint(fields=("tenant", "list", "number"), name="listversion_number_once"),
        ),
        migrations.AddConstraint(
            model_name="listversion",
            constraint=threada_site.database.constraints.AppendOnly(name="listversion_append_only"),
        ),
        migrations.AddConstraint(
            model_name="list",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="list_rls"),
        ),
        migrations.AddConstraint(
            model_name="list",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="list_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="list",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="current_version", name="list_current_version_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="list",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="list_slug_once"),
        ),
        migrations.AddConstraint(
            model_name="overlay",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="overlay_rls"),
        ),
        migrations.AddConstraint(
            model_name="overlay",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="overlay_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="overlay",
            constraint=threada_site.database.constraints.TenantForeignKey(field="policy", name="overlay_policy_fk"),
        ),
        migrations.AddConstraint(
            model_name="overlay",
            constraint=models.UniqueConstraint(
                fields=("tenant", "policy", "scope_kind", "scope_slug"), name="overlay_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="overlay",
            constraint=models.CheckConstraint(
                condition=models.Q(("scope_kind__in", ["tenant", "workflow", "channel"])), name="overlay_scope_known"
            ),
        ),
        migrations.AddIndex(
            model_name="policydecision",
            index=models.Index(fields=["tenant", "work_item_id", "id"], name="policydecision_item_idx"),
        ),
        migrations.AddConstraint(
            model_name="policydecision",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="policydecision_rls"),
        ),
        migrations.AddConstraint(
            model_name="policydecision",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="policydecision_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="policydecision",
            constraint=threada_site.database.constraints.AppendOnly(name="policydecision_append_only"),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="policyversion_rls"),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="policyversion_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="policy", name="policyversion_policy_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(fields=("tenant", "policy", "number"), name="policyversion_number_once"),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["draft", "published", "retired"])), name="policyversion_status_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="policy_rls"),
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="policy_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=threada_site.database.constraints.TenantForeignKey(field="in_force", name="policy_in_force_fk"),
        ),
        migrations.AddConstraint(
            model_name="policy",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="policy_slug_once"),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="workflowversion_rls"),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="workflowversion_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="workflow", name="workflowversion_workflow_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=models.UniqueConstraint(
                fields=("tenant", "workflow", "number"), name="workflowversion_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="workflowversion",
            constraint=threada_site.database.constraints.AppendOnly(name="workflowversion_append_only"),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="workflow_rls"),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="workflow_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="current_version", name="workflow_current_version_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="workflow_slug_once"),
        ),
    ]
