from pathlib import Path

from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import CASCADE, PROTECT

from threada_site.database.constraints import AppendOnly, InstanceRows, RowLevelSecurity, TenantForeignKey
from threada_site.database.partitioning import PartitionByMonth
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import new_salt
from threada_site.tenancy.models import SlugColumn

SQL = Path(__file__).resolve().parent / "_v1"

TENANT = {"db_index": False, "editable": False, "on_delete": PROTECT, "related_name": "+", "to": "tenancy.tenant"}


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenancy", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                (
                    "target",
                    models.CharField(
                        choices=[("webhook", "webhook"), ("file", "file"), ("otlp", "otlp")], max_length=16
                    ),
                ),
                ("url", models.CharField(blank=True, max_length=2000)),
                (
                    "secret",
                    models.JSONField(
                        help_text="Reference to the secret: {stored: …}, {env: …} or {file: …}.", null=True
                    ),
                ),
                ("kinds", models.JSONField(default=list, help_text="Kinds of receipts that are sent; empty: all.")),
                (
                    "workflows",
                    models.JSONField(default=list, help_text="Workflows whose receipts are sent; empty: all receipts."),
                ),
                (
                    "headers",
                    models.JSONField(
                        default=dict, help_text="Sent to a collector; ${secret} is replaced by the secret."
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "active"), ("paused", "paused"), ("removed", "removed")],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("next_index", models.BigIntegerField(default=0)),
                ("batch_end", models.BigIntegerField(null=True)),
                (
                    "file_size",
                    models.BigIntegerField(default=0, help_text="Size of the delivered part of the file in bytes."),
                ),
                (
                    "rejected",
                    models.BigIntegerField(default=0, help_text="Receipts that a collector accepted and discarded."),
                ),
                ("attempts", models.IntegerField(default=0, help_text="Failed attempts since the last success.")),
                ("next_try_at", models.DateTimeField(null=True)),
                ("failing_since", models.DateTimeField(null=True)),
                (
                    "failure",
                    models.CharField(blank=True, help_text="Reason code of the last failed attempt.", max_length=64),
                ),
                ("detail", models.CharField(blank=True, max_length=500)),
                ("paused_at", models.DateTimeField(null=True)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("fence", models.BigIntegerField(default=0)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now)),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "active")),
                        fields=["next_try_at"],
                        name="delivery_active_idx",
                    )
                ],
                "constraints": [
                    RowLevelSecurity(name="delivery_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="delivery_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "removed"), _negated=True),
                        fields=("tenant", "slug"),
                        name="delivery_slug_key",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("target", "webhook"), _negated=True),
                            models.Q(models.Q(("url", ""), _negated=True), ("secret__isnull", False)),
                            _connector="OR",
                        ),
                        name="delivery_webhook_is_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("target", "otlp"), _negated=True),
                            models.Q(("url", ""), _negated=True),
                            _connector="OR",
                        ),
                        name="delivery_otlp_is_whole",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("next_index__gte", 0),
                            models.Q(
                                ("batch_end__isnull", True), ("batch_end__gt", models.F("next_index")), _connector="OR"
                            ),
                        ),
                        name="delivery_moves_on",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeliveryAttempt",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "delivery",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="tries",
                        to="telemetry.delivery",
                    ),
                ),
                (
                    "purpose",
                    models.CharField(
                        choices=[("scheduled", "scheduled"), ("test", "test"), ("resend", "resend")], max_length=16
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "queued"),
                            ("running", "running"),
                            ("delivered", "delivered"),
                            ("failed", "failed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("first_index", models.BigIntegerField(null=True)),
                ("last_index", models.BigIntegerField(null=True)),
                ("events", models.IntegerField(default=0, help_text="Number of events that were sent.")),
                ("failure", models.CharField(blank=True, max_length=32)),
                ("detail", models.CharField(blank=True, max_length=500)),
                ("requested_by", models.UUIDField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "delivery", "id"], name="deliveryattempt_list_idx"),
                    models.Index(
                        condition=models.Q(("status__in", ("queued", "running"))),
                        fields=["status", "lease_until"],
                        name="deliveryattempt_open_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="deliveryattempt_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="deliveryattempt_tenant_id_key"),
                    TenantForeignKey(field="delivery", name="deliveryattempt_delivery_fk"),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ("queued", "running"))),
                        fields=("tenant", "delivery"),
                        name="deliveryattempt_one_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="InstanceQueueEntry",
            fields=[("id", models.UUIDField(primary_key=True, serialize=False))],
            options={"constraints": [InstanceRows(name="instancequeueentry_rls", readable="nobody")]},
        ),
        migrations.CreateModel(
            name="InstanceNode",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level", "index", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("level", models.SmallIntegerField()),
                ("index", models.BigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={
                "constraints": [
                    InstanceRows(name="instancenode_rls", readable="everybody"),
                    AppendOnly(name="instancenode_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="InstanceEntry",
            fields=[
                ("index", models.BigIntegerField(primary_key=True, serialize=False)),
                (
                    "log_id",
                    models.UUIDField(
                        help_text="Tenant of the checkpoint; not a foreign key, so that the entry outlives the tenant."
                    ),
                ),
                ("checkpoint_id", models.UUIDField(unique=True)),
                ("note", models.TextField(help_text="The signed note.")),
            ],
            options={
                "indexes": [models.Index(fields=["log_id", "index"], name="instanceentry_log_idx")],
                "constraints": [
                    InstanceRows(name="instanceentry_rls", readable="tenant"),
                    AppendOnly(name="instanceentry_append_only"),
                ],
            },
        ),
        migrations.CreateModel(
            name="InstanceCheckpoint",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("size", models.BigIntegerField()),
                ("root", models.BinaryField()),
                ("note", models.TextField(help_text="The signed note, as it was published.")),
                (
                    "verifier_keys",
                    ArrayField(base_field=models.CharField(max_length=300), help_text="vkeys (C2SP signed-note)."),
                ),
                ("signed_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    InstanceRows(name="instancecheckpoint_rls", readable="everybody"),
                    AppendOnly(name="instancecheckpoint_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="InstanceAlarm",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=16)),
                ("signed_size", models.BigIntegerField()),
                ("signed_root", models.BinaryField()),
                ("found_size", models.BigIntegerField()),
                ("found_root", models.BinaryField(null=True)),
                ("found_at", models.DateTimeField(default=clock.now)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                ("reason", models.TextField(blank=True)),
            ],
            options={
                "constraints": [
                    InstanceRows(name="instancealarm_rls", readable="nobody"),
                    models.UniqueConstraint(
                        condition=models.Q(("acknowledged_at__isnull", True)),
                        fields=("acknowledged_at",),
                        name="instancealarm_one_open",
                        nulls_distinct=False,
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="InclusionPromiseKey",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("public_key", models.BinaryField()),
                ("note", models.TextField(help_text="The signed note.")),
                ("signed_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    InstanceRows(name="inclusionpromisekey_rls", readable="everybody"),
                    AppendOnly(name="inclusionpromisekey_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="LogLeaf",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("index", models.BigIntegerField()),
                ("hash", models.BinaryField(help_text="RFC 6962: SHA-256 of a zero byte and the receipt's body.")),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="logleaf_rls"),
                    models.UniqueConstraint(fields=("tenant", "index"), name="logleaf_index_key"),
                    models.CheckConstraint(condition=models.Q(("index__gte", 0)), name="logleaf_index_counts"),
                    AppendOnly(name="logleaf_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="LogNode",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("level", models.SmallIntegerField()),
                ("index", models.BigIntegerField()),
                ("hash", models.BinaryField()),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="lognode_rls"),
                    models.UniqueConstraint(fields=("tenant", "level", "index"), name="lognode_place_key"),
                    AppendOnly(name="lognode_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Checkpoint",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("size", models.BigIntegerField()),
                ("root", models.BinaryField()),
                ("note", models.TextField(help_text="The signed note, as it was published.")),
                (
                    "verifier_keys",
                    ArrayField(base_field=models.CharField(max_length=300), help_text="vkeys (C2SP signed-note)."),
                ),
                ("signed_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="checkpoint_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="checkpoint_tenant_id_key"),
                    AppendOnly(name="checkpoint_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="LogAlarm",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("kind", models.CharField(max_length=16)),
                ("signed_size", models.BigIntegerField(help_text="Size according to the anchor outside the database.")),
                ("signed_root", models.BinaryField()),
                ("found_size", models.BigIntegerField(help_text="Size according to the database.")),
                (
                    "found_root",
                    models.BinaryField(
                        help_text="Root at the signed size; null if the database has fewer leaves.", null=True
                    ),
                ),
                ("found_at", models.DateTimeField(default=clock.now)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                ("reason", models.TextField(blank=True)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="logalarm_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="logalarm_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("acknowledged_at__isnull", True)),
                        fields=("tenant",),
                        name="logalarm_one_open",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="CheckpointTarget",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(help_text="Target without password.", max_length=300, unique=True)),
                ("published_at", models.DateTimeField(null=True)),
                ("failing_since", models.DateTimeField(null=True)),
                ("attempts", models.IntegerField(default=0, help_text="Failed attempts since the last success.")),
                ("failure", models.CharField(blank=True, max_length=32)),
                ("detail", models.CharField(blank=True, max_length=500)),
            ],
        ),
        migrations.CreateModel(
            name="RemovedReceipt",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("batch_id", models.UUIDField()),
                ("body_sha256", models.CharField(max_length=64)),
                ("removed_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "batch_id", "id"], name="removedreceipt_batch_idx")],
                "constraints": [
                    RowLevelSecurity(name="removedreceipt_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="removedreceipt_tenant_id_key"),
                    AppendOnly(name="removedreceipt_append_only"),
                ],
            },
        ),
        migrations.CreateModel(
            name="SummaryCount",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("day", models.DateField()),
                ("workflow", models.CharField(blank=True, max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                ("integration", models.CharField(blank=True, max_length=63)),
                ("policy_version_id", models.UUIDField(null=True)),
                ("measure", models.CharField(max_length=24)),
                ("label", models.CharField(blank=True, max_length=64)),
                ("count", models.BigIntegerField()),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="summarycount_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="summarycount_tenant_id_key"),
                    models.UniqueConstraint(
                        fields=(
                            "tenant",
                            "day",
                            "measure",
                            "label",
                            "workflow",
                            "channel",
                            "integration",
                            "policy_version_id",
                        ),
                        name="summarycount_once",
                        nulls_distinct=False,
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="SummaryRollup",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("day", models.DateField()),
                ("dimension", models.CharField(blank=True, max_length=16)),
                ("key", models.CharField(blank=True, max_length=63)),
                ("measure", models.CharField(max_length=24)),
                ("label", models.CharField(blank=True, max_length=64)),
                ("count", models.BigIntegerField()),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="summaryrollup_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="summaryrollup_tenant_id_key"),
                    models.UniqueConstraint(
                        fields=("tenant", "dimension", "day", "key", "measure", "label"), name="summaryrollup_once"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="SummaryPosition",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "counted",
                    models.BigIntegerField(
                        default=0, help_text="Number of counted leaves, which is the index of the next one."
                    ),
                ),
                ("latest_at", models.DateTimeField(help_text="Time of the last counted receipt.", null=True)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="summaryposition_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="summaryposition_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant",), name="summaryposition_one_per_tenant"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Receipt",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
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
                ("reason_codes", ArrayField(base_field=models.CharField(max_length=64), default=list)),
                ("correlation_id", models.CharField(blank=True, max_length=128)),
                ("body", models.BinaryField()),
                ("body_sha256", models.CharField(max_length=64)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("workflow", ""), _negated=True),
                        fields=["tenant", "workflow", "id"],
                        name="receipt_workflow_idx",
                    ),
                    models.Index(
                        condition=models.Q(("channel", ""), _negated=True),
                        fields=["tenant", "channel", "id"],
                        name="receipt_channel_idx",
                    ),
                    models.Index(
                        condition=models.Q(("status", ""), _negated=True),
                        fields=["tenant", "status", "id"],
                        name="receipt_status_idx",
                    ),
                    models.Index(
                        condition=models.Q(("integration", ""), _negated=True),
                        fields=["tenant", "integration", "id"],
                        name="receipt_integration_idx",
                    ),
                    models.Index(
                        condition=models.Q(("work_item_id__isnull", False)),
                        fields=["tenant", "work_item_id", "id"],
                        name="receipt_work_item_idx",
                    ),
                    models.Index(
                        condition=models.Q(("policy_version_id__isnull", False)),
                        fields=["tenant", "policy_version_id", "id"],
                        name="receipt_policy_version_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="receipt_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="receipt_tenant_id_key"),
                    AppendOnly(name="receipt_append_only"),
                ],
            },
        ),
        PartitionByMonth("receipt"),
        migrations.CreateModel(
            name="SealQueueEntry",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="sealqueueentry_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="sealqueueentry_tenant_id_key"),
                ]
            },
        ),
        migrations.CreateModel(
            name="AccountEvent",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("principal_id", models.UUIDField()),
                ("receipt_id", models.UUIDField()),
                ("address", models.CharField(blank=True, max_length=45)),
                ("user_agent", models.CharField(blank=True, max_length=300)),
                ("salt", models.BinaryField(default=b"", max_length=16)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "principal_id", "receipt_id"], name="accountevent_of_principal"),
                    models.Index(fields=["tenant", "receipt_id"], name="accountevent_of_receipt"),
                ],
                "constraints": [
                    RowLevelSecurity(name="accountevent_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="accountevent_tenant_id_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReceiptReason",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("receipt_id", models.UUIDField()),
                ("reason", models.CharField(max_length=1000)),
                ("salt", models.BinaryField(default=new_salt, max_length=16)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "receipt_id"], name="receiptreason_of_receipt")],
                "constraints": [
                    RowLevelSecurity(name="receiptreason_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="receiptreason_tenant_id_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="SignInFailures",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("principal_id", models.UUIDField()),
                ("since", models.DateTimeField(default=clock.now)),
                ("recorded", models.IntegerField(default=0)),
                ("unrecorded", models.IntegerField(default=0)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="signinfailures_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="signinfailures_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "principal_id"), name="signinfailures_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RefusalCount",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("interval", models.DateTimeField(help_text="Start of the interval.")),
                ("principal_id", models.UUIDField(null=True)),
                ("credential_id", models.UUIDField(null=True)),
                ("reason_code", models.CharField(max_length=64)),
                ("count", models.IntegerField()),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "indexes": [models.Index(fields=["interval"], name="refusalcount_interval_idx")],
                "constraints": [
                    RowLevelSecurity(name="refusalcount_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="refusalcount_tenant_id_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="TelemetryExport",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("requested_by", models.UUIDField()),
                ("filters", models.JSONField(default=dict)),
                ("from_id", models.UUIDField(help_text="The first receipt id of the window.")),
                ("before_id", models.UUIDField(help_text="The first receipt id after the window.")),
                ("format", models.CharField(default="ndjson", max_length=32)),
                ("compression", models.CharField(default="none", max_length=8)),
                ("created_at", models.DateTimeField(default=clock.now)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("requested", "requested"),
                            ("running", "running"),
                            ("ready", "ready"),
                            ("failed", "failed"),
                            ("expired", "expired"),
                            ("cancelled", "cancelled"),
                        ],
                        db_default="requested",
                        default="requested",
                        max_length=16,
                    ),
                ),
                ("attempt", models.PositiveIntegerField(db_default=0, default=0)),
                ("lease_until", models.DateTimeField(help_text="End of the worker's lease.", null=True)),
                ("rows_expected", models.BigIntegerField(help_text="The planner's estimate.", null=True)),
                ("rows", models.BigIntegerField(db_default=0, default=0)),
                (
                    "size",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="Size of the file in bytes, so far or in total."
                    ),
                ),
                ("sha256", models.CharField(blank=True, db_default="", max_length=64)),
                ("failure", models.CharField(blank=True, db_default="", help_text="A reason code.", max_length=64)),
                ("failure_detail", models.CharField(blank=True, db_default="", max_length=300)),
                ("started_at", models.DateTimeField(null=True)),
                ("ready_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
            ],
            options={
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
                        name="telemetryexport_open_idx",
                    ),
                    models.Index(
                        condition=models.Q(("status", "ready")),
                        fields=["expires_at"],
                        name="telemetryexport_expiring_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="telemetryexport_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="telemetryexport_tenant_id_key"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "ready"), _negated=True),
                            models.Q(
                                ("expires_at__isnull", False),
                                ("ready_at__isnull", False),
                                models.Q(("sha256", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="telemetryexport_ready_is_whole",
                    ),
                ],
            },
        ),
        migrations.RunSQL((SQL / "summary_rollup.sql").read_text(), "DROP FUNCTION threada_roll_up_counts() CASCADE;"),
    ]
