import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("integrations", "0001_initial"),
        ("policies", "0001_initial"),
        ("tenancy", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="WorkItem",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("workflow", models.CharField(max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                ("status", models.CharField(max_length=20)),
                ("payload", models.JSONField()),
                ("payload_sha256", models.CharField(max_length=64)),
                (
                    "payload_salt",
                    models.BinaryField(help_text="Salt of the commitment that receipts carry.", max_length=16),
                ),
                ("confidence", models.FloatField(default=1.0)),
                (
                    "risk_flags",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=64), default=list),
                ),
                ("data_class", models.CharField(blank=True, max_length=63)),
                ("external_ref", models.CharField(blank=True, max_length=255)),
                ("policy_version_id", models.UUIDField(help_text="The version that decided last.", null=True)),
                ("version", models.PositiveIntegerField(default=1)),
                (
                    "ended_reason",
                    models.TextField(blank=True, help_text="What who cancelled or resolved it gave as reason."),
                ),
                ("correlation_id", models.CharField(max_length=128)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("updated_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                (
                    "assignee",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "edited_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "ended_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requester",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "submitted_by",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenancy.tenant",
                    ),
                ),
                (
                    "workflow_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="policies.workflowversion",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Evidence",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("position", models.PositiveIntegerField()),
                ("kind", models.CharField(max_length=20)),
                ("content", models.JSONField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenancy.tenant",
                    ),
                ),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="evidence",
                        to="workitems.workitem",
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "evidence",
            },
        ),
        migrations.CreateModel(
            name="DecisionStep",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("envelope_sha256", models.CharField(max_length=64)),
                ("payload_sha256", models.CharField(help_text="The payload it was opened for.", max_length=64)),
                ("kind", models.CharField(max_length=8)),
                ("status", models.CharField(default="pending", max_length=16)),
                ("workflow", models.CharField(max_length=63)),
                ("question", models.TextField(blank=True)),
                ("rule", models.JSONField()),
                ("reason_codes", models.JSONField(default=list)),
                ("policy_decision_id", models.UUIDField(null=True)),
                (
                    "policy_version_ids",
                    django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list),
                ),
                (
                    "excluded_ids",
                    django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list),
                ),
                ("respond_by", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("escalated_at", models.DateTimeField(null=True)),
                ("claimed_until", models.DateTimeField(null=True)),
                ("opened_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "claimed_by",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "envelope",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="integrations.envelope",
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="integrations.execution",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenancy.tenant",
                    ),
                ),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="steps",
                        to="workitems.workitem",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Vote",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("voter_kind", models.CharField(max_length=8)),
                ("decision", models.CharField(max_length=8)),
                ("reason_code", models.CharField(blank=True, max_length=64)),
                ("comment", models.TextField(blank=True)),
                ("envelope_sha256", models.CharField(max_length=64)),
                ("counted", models.BooleanField()),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                (
                    "step",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="votes",
                        to="workitems.decisionstep",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenancy.tenant",
                    ),
                ),
                (
                    "voter",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "constraints": [
                    threada_site.database.constraints.RowLevelSecurity(name="vote_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="vote_tenant_id_key"),
                    threada_site.database.constraints.TenantForeignKey(field="step", name="vote_step_fk"),
                    models.UniqueConstraint(fields=("tenant", "step", "voter"), name="vote_once"),
                    models.CheckConstraint(
                        condition=models.Q(("decision__in", ["approve", "reject"])), name="vote_decision_known"
                    ),
                    threada_site.database.constraints.AppendOnly(name="vote_append_only"),
                ],
            },
        ),
        migrations.AddIndex(
            model_name="workitem",
            index=models.Index(fields=["tenant", "workflow", "id"], name="workitem_workflow_idx"),
        ),
        migrations.AddIndex(
            model_name="workitem",
            index=models.Index(fields=["tenant", "channel", "id"], name="workitem_channel_idx"),
        ),
        migrations.AddIndex(
            model_name="workitem",
            index=models.Index(fields=["tenant", "status", "id"], name="workitem_status_idx"),
        ),
        migrations.AddIndex(
            model_name="workitem",
            index=models.Index(
                condition=models.Q(("policy_version_id__isnull", False)),
                fields=["tenant", "policy_version_id", "id"],
                name="workitem_policy_idx",
            ),
        ),
        migrations.AddConstraint(
            model_name="workitem",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="workitem_rls"),
        ),
        migrations.AddConstraint(
            model_name="workitem",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="workitem_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="workitem",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="workflow_version", name="workitem_workflow_version_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="evidence",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="evidence_rls"),
        ),
        migrations.AddConstraint(
            model_name="evidence",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="evidence_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="evidence",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="work_item", name="evidence_work_item_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="evidence",
            constraint=models.UniqueConstraint(
                fields=("tenant", "work_item", "position"), name="evidence_position_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="evidence",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["citation", "retrieval_trace", "fallback"])),
                name="evidence_kind_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="evidence",
            constraint=threada_site.database.constraints.AppendOnly(name="evidence_append_only"),
        ),
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(fields=["tenant", "work_item", "id"], name="decisionstep_item_idx"),
        ),
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(fields=["tenant", "status", "id"], name="decisionstep_status_idx"),
        ),
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False), ("status", "pending")),
                fields=["expires_at"],
                name="decisionstep_due_idx",
            ),
        ),
        migrations.AddConstraint(
            model_name="decisionstep",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="decisionstep_rls"),
        ),
        migrations.AddConstraint(
            model_name="decisionstep",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="decisionstep_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="decisionstep",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="work_item", name="decisionstep_work_item_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="decisionstep",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="execution", name="decisionstep_execution_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="decisionstep",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="envelope", name="decisionstep_envelope_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="decisionstep",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status", "pending")),
                fields=("tenant", "work_item"),
                name="decisionstep_one_pending_per_item",
            ),
        ),
    ]
