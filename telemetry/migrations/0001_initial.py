import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenancy", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Receipt",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("kind", models.CharField(max_length=64)),
                ("occurred_at", models.DateTimeField()),
                ("actor_id", models.UUIDField(null=True)),
                ("work_item_id", models.UUIDField(null=True)),
                ("execution_id", models.UUIDField(null=True)),
                ("workflow", models.CharField(blank=True, max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                ("integration", models.CharField(blank=True, max_length=63)),
                ("status", models.CharField(blank=True, max_length=32)),
                ("policy_version_id", models.UUIDField(null=True)),
                (
                    "reason_codes",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), default=list),
                ),
                ("correlation_id", models.CharField(blank=True, max_length=128)),
                ("body", models.BinaryField()),
                ("body_sha256", models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name="SealQueueEntry",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="TelemetryExport",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("requested_by", models.UUIDField()),
                ("filters", models.JSONField(default=dict)),
                ("from_id", models.UUIDField(help_text="The first receipt id of the window.")),
                ("before_id", models.UUIDField(help_text="The first receipt id after the window.")),
                ("format", models.CharField(default="ndjson", max_length=16)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now)),
            ],
        ),
        migrations.AddField(
            model_name="receipt",
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
            model_name="sealqueueentry",
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
            model_name="telemetryexport",
            name="tenant",
            field=models.ForeignKey(
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenancy.tenant",
            ),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(
                condition=models.Q(("workflow", ""), _negated=True),
                fields=["tenant", "workflow", "id"],
                name="receipt_workflow_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(
                condition=models.Q(("channel", ""), _negated=True),
                fields=["tenant", "channel", "id"],
                name="receipt_channel_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(
                condition=models.Q(("status", ""), _negated=True),
                fields=["tenant", "status", "id"],
                name="receipt_status_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(
                condition=models.Q(("integration", ""), _negated=True),
                fields=["tenant", "integration", "id"],
                name="receipt_integration_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(
                condition=models.Q(("work_item_id__isnull", False)),
                fields=["tenant", "work_item_id", "id"],
                name="receipt_work_item_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="receipt",
            index=models.Index(
                condition=models.Q(("policy_version_id__isnull", False)),
                fields=["tenant", "policy_version_id", "id"],
                name="receipt_policy_version_idx",
            ),
        ),
        migrations.AddConstraint(
            model_name="receipt",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="receipt_rls"),
        ),
        migrations.AddConstraint(
            model_name="receipt",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="receipt_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="receipt",
            constraint=threada_site.database.constraints.AppendOnly(name="receipt_append_only"),
        ),
        migrations.AddConstraint(
            model_name="sealqueueentry",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="sealqueueentry_rls"),
        ),
        migrations.AddConstraint(
            model_name="sealqueueentry",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="sealqueueentry_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="telemetryexport",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="telemetryexport_rls"),
        ),
        migrations.AddConstraint(
            model_name="telemetryexport",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="telemetryexport_tenant_id_key"),
        ),
    ]
