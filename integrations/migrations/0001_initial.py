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
            name="Action",
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
                ("spec", models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("fencing_token", models.PositiveBigIntegerField()),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("outcome", models.CharField(blank=True, max_length=20)),
                ("failure", models.CharField(blank=True, max_length=32)),
                ("ambiguous", models.BooleanField(default=False)),
                ("response", models.JSONField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Envelope",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("work_item_id", models.UUIDField()),
                ("body", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="Execution",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("work_item_id", models.UUIDField()),
                ("workflow", models.CharField(max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                ("integration", models.CharField(max_length=63)),
                ("action", models.CharField(max_length=63)),
                ("status", models.CharField(max_length=20)),
                ("requested_by", models.UUIDField()),
                ("idempotency_key", models.CharField(max_length=255)),
                ("input", models.JSONField(default=dict)),
                ("policy_decision_id", models.UUIDField(null=True)),
                ("policy_version_id", models.UUIDField(null=True)),
                ("attempts_made", models.PositiveIntegerField(default=0)),
                (
                    "attempts_before",
                    models.PositiveIntegerField(default=0, help_text="Attempts before the last retry by a person."),
                ),
                ("next_try_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("fencing_token", models.PositiveBigIntegerField(default=0)),
                ("worker_deaths", models.PositiveIntegerField(default=0)),
                ("failure", models.CharField(blank=True, max_length=32)),
                ("failure_detail", models.TextField(blank=True)),
                ("result", models.JSONField(null=True)),
                ("correlation_id", models.CharField(blank=True, max_length=128)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Integration",
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
                ("connector", models.CharField(max_length=32)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
            ],
            options={
                "permissions": [("actions_execute", "actions:execute"), ("integrations_manage", "integrations:manage")],
            },
        ),
        migrations.CreateModel(
            name="IntegrationVersion",
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
            model_name="action",
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
            model_name="attempt",
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
            model_name="envelope",
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
            model_name="execution",
            name="envelope",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="integrations.envelope",
            ),
        ),
        migrations.AddField(
            model_name="execution",
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
            model_name="attempt",
            name="execution",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="attempts",
                to="integrations.execution",
            ),
        ),
        migrations.AddField(
            model_name="integration",
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
            model_name="integrationversion",
            name="integration",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="versions",
                to="integrations.integration",
            ),
        ),
        migrations.AddField(
            model_name="integrationversion",
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
            model_name="integration",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="integrations.integrationversion",
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="integration_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="integrations.integrationversion",
            ),
        ),
        migrations.AddField(
            model_name="action",
            name="integration_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="actions",
                to="integrations.integrationversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="envelope_rls"),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="envelope_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="envelope",
            constraint=threada_site.database.constraints.AppendOnly(name="envelope_append_only"),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="attempt_rls"),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="attempt_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="execution", name="attempt_execution_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(fields=("tenant", "execution", "number"), name="attempt_number_once"),
        ),
        migrations.AddConstraint(
            model_name="integrationversion",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="integrationversion_rls"),
        ),
        migrations.AddConstraint(
            model_name="integrationversion",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="integrationversion_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="integrationversion",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="integration", name="integrationversion_integration_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="integrationversion",
            constraint=models.UniqueConstraint(
                fields=("tenant", "integration", "number"), name="integrationversion_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="integrationversion",
            constraint=threada_site.database.constraints.AppendOnly(name="integrationversion_append_only"),
        ),
        migrations.AddConstraint(
            model_name="integration",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="integration_rls"),
        ),
        migrations.AddConstraint(
            model_name="integration",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="integration_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="integration",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="current_version", name="integration_current_version_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="integration",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="integration_slug_once"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["tenant", "work_item_id", "id"], name="execution_item_idx"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["tenant", "status", "id"], name="execution_status_idx"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["tenant", "workflow", "id"], name="execution_workflow_idx"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["tenant", "channel", "id"], name="execution_channel_idx"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(fields=["tenant", "policy_version_id", "id"], name="execution_policy_idx"),
        ),
        migrations.AddIndex(
            model_name="execution",
            index=models.Index(
                condition=models.Q(("status__in", ["started", "running"])),
                fields=["status", "next_try_at", "lease_until"],
                name="execution_due_idx",
            ),
        ),
        migrations.AddConstraint(
            model_name="execution",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="execution_rls"),
        ),
        migrations.AddConstraint(
            model_name="execution",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="execution_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="execution",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="integration_version", name="execution_integration_version_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="execution",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="envelope", name="execution_envelope_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="execution",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["awaiting_approval", "started", "running", "outcome_unknown"])),
                fields=("tenant", "work_item_id"),
                name="execution_one_open_per_item",
            ),
        ),
        migrations.AddConstraint(
            model_name="action",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="action_rls"),
        ),
        migrations.AddConstraint(
            model_name="action",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="action_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="action",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="integration_version", name="action_integration_version_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="action",
            constraint=models.UniqueConstraint(
                fields=("tenant", "integration_version", "slug"), name="action_slug_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="action",
            constraint=threada_site.database.constraints.AppendOnly(name="action_append_only"),
        ),
    ]
