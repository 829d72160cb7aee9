from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.models import PROTECT
from django.db.models.functions import Coalesce

from threada_site.database.constraints import AppendOnly, CaseVisibility, RowLevelSecurity, TenantForeignKey
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import new_salt
from threada_site.tenancy.models import SlugColumn

TENANT = {"db_index": False, "editable": False, "on_delete": PROTECT, "related_name": "+", "to": "tenancy.tenant"}


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenancy", "0002_functions")]

    operations = [
        migrations.CreateModel(
            name="Freeze",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "workflow",
                    SlugColumn(
                        blank=True,
                        max_length=63,
                        validators=[
                            RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                (
                    "integration",
                    SlugColumn(
                        blank=True,
                        max_length=63,
                        validators=[
                            RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                (
                    "action",
                    SlugColumn(
                        blank=True,
                        max_length=63,
                        validators=[
                            RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                (
                    "principal",
                    SlugColumn(
                        blank=True,
                        help_text="Name of an agent or service.",
                        max_length=63,
                        validators=[
                            RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                ("principal_id", models.UUIDField(help_text="Id of the agent or service.", null=True)),
                ("reason", models.CharField(max_length=1000)),
                (
                    "reason_salt",
                    models.BinaryField(
                        default=new_salt, help_text="Salt of the commitments in receipts.", max_length=16
                    ),
                ),
                ("set_by", models.UUIDField(help_text="Null if set by the instance's operator by command.", null=True)),
                ("set_at", models.DateTimeField(default=clock.now, editable=False)),
                ("lifted_by", models.UUIDField(null=True)),
                ("lifted_at", models.DateTimeField(null=True)),
                ("lifted_reason", models.CharField(blank=True, max_length=1000)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("lifted_at__isnull", True)), fields=["tenant"], name="freeze_in_force_idx"
                    )
                ],
                "constraints": [
                    RowLevelSecurity(name="freeze_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="freeze_tenant_id_key"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("action", ""), models.Q(("integration", ""), _negated=True), _connector="OR"
                        ),
                        name="freeze_scope_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("workflow", ""), ("integration", ""), _connector="OR"),
                        name="freeze_scope_single",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("principal", ""), ("principal_id__isnull", True)),
                            models.Q(
                                models.Q(("principal", ""), _negated=True),
                                ("integration", ""),
                                ("principal_id__isnull", False),
                                ("workflow", ""),
                            ),
                            _connector="OR",
                        ),
                        name="freeze_scope_principal",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredSecret",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("origins", models.JSONField(help_text="Origins that the secret may be sent to.")),
                ("token", models.BinaryField(help_text="Fernet: {tenant, slug, value}.")),
                ("key_id", models.CharField(help_text="Id of the instance's key that encrypted it.", max_length=16)),
                ("number", models.PositiveIntegerField(default=1, help_text="Number of the current value.")),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("changed_at", models.DateTimeField(default=clock.now)),
            ],
            options={
                "verbose_name": "secret",
                "indexes": [models.Index(fields=["key_id", "id"], name="storedsecret_key_idx")],
                "constraints": [
                    RowLevelSecurity(name="storedsecret_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="storedsecret_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="storedsecret_slug_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Envelope",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("work_item_id", models.UUIDField()),
                ("body", models.BinaryField()),
                ("sha256", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="envelope_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="envelope_tenant_id_key"),
                    AppendOnly(emptied=("body",), name="envelope_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Integration",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("name", models.CharField(blank=True, max_length=200)),
                ("connector", models.CharField(max_length=32)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "permissions": [("actions_execute", "actions:execute"), ("integrations_manage", "integrations:manage")],
                "constraints": [
                    RowLevelSecurity(name="integration_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="integration_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="integration_slug_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="IntegrationGauge",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "integration",
                    models.OneToOneField(
                        db_constraint=False, on_delete=PROTECT, related_name="gauge", to="integrations.integration"
                    ),
                ),
                ("concurrency", models.PositiveIntegerField(null=True)),
                ("rate_calls", models.PositiveIntegerField(null=True)),
                ("recent_calls", ArrayField(base_field=models.DateTimeField(), default=list)),
                ("waits_until", models.DateTimeField(null=True)),
                ("waits_for", models.CharField(blank=True, max_length=16)),
                (
                    "failures",
                    models.PositiveIntegerField(default=0, help_text="Consecutive failures caused by the receiver."),
                ),
                ("opened_at", models.DateTimeField(null=True)),
                ("open_until", models.DateTimeField(null=True)),
                ("probe_id", models.UUIDField(help_text="The execution that probes the receiver.", null=True)),
                ("probe_token", models.PositiveBigIntegerField(default=0)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="integrationgauge_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="integrationgauge_tenant_id_key"),
                    TenantForeignKey(field="integration", name="integrationgauge_integration_fk"),
                ]
            },
        ),
        migrations.CreateModel(
            name="IntegrationVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "integration",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="integrations.integration",
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
                    RowLevelSecurity(name="integrationversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="integrationversion_tenant_id_key"),
                    TenantForeignKey(field="integration", name="integrationversion_integration_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "integration", "number"), name="integrationversion_number_once"
                    ),
                    AppendOnly(name="integrationversion_append_only"),
                ]
            },
        ),
        migrations.AddField(
            model_name="integration",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="integrations.integrationversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="integration",
            constraint=TenantForeignKey(field="current_version", name="integration_current_version_fk"),
        ),
        migrations.CreateModel(
            name="Action",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "integration_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="actions",
                        to="integrations.integrationversion",
                    ),
                ),
                ("slug", SlugColumn()),
                ("spec", models.JSONField()),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="action_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="action_tenant_id_key"),
                    TenantForeignKey(field="integration_version", name="action_integration_version_fk"),
                    models.UniqueConstraint(fields=("tenant", "integration_version", "slug"), name="action_slug_once"),
                    AppendOnly(name="action_append_only"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Execution",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("work_item_id", models.UUIDField()),
                ("workflow", models.CharField(max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                ("integration", models.CharField(max_length=63)),
                ("action", models.CharField(max_length=63)),
                (
                    "integration_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.integrationversion",
                    ),
                ),
                (
                    "envelope",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.envelope",
                    ),
                ),
                ("status", models.CharField(max_length=20)),
                ("requested_by", models.UUIDField()),
                ("undoes_id", models.UUIDField(help_text="The execution that this one undoes.", null=True)),
                (
                    "is_timed_undo",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Whether Threada requested it, because the time for the undo came.",
                    ),
                ),
                ("undo_due_at", models.DateTimeField(help_text="Time for its undo, until it is undone.", null=True)),
                (
                    "undo_next_try_at",
                    models.DateTimeField(help_text="Time at which the sweep looks at its due undo next.", null=True),
                ),
                (
                    "undo_problem",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Reason why the undo that is due has not ended.",
                        max_length=64,
                    ),
                ),
                ("idempotency_key", models.CharField(max_length=255)),
                (
                    "input_commitment",
                    models.CharField(
                        blank=True,
                        help_text="Salted digest of the requested input, to compare repeated requests.",
                        max_length=64,
                    ),
                ),
                ("input", models.JSONField(default=dict)),
                ("input_edited_by", models.UUIDField(help_text="Who last changed the requested input.", null=True)),
                ("policy_decision_id", models.UUIDField(null=True)),
                ("policy_version_id", models.UUIDField(null=True)),
                ("permit_id", models.UUIDField(help_text="Permit that took the place of an approval.", null=True)),
                ("attempts_made", models.PositiveIntegerField(default=0)),
                (
                    "attempts_before",
                    models.PositiveIntegerField(default=0, help_text="Attempts before the last retry by a person."),
                ),
                (
                    "tries_began_at",
                    models.DateTimeField(
                        help_text="Time of the first attempt since it was started or retried.", null=True
                    ),
                ),
                ("next_try_at", models.DateTimeField(null=True)),
                ("lease_until", models.DateTimeField(null=True)),
                ("waiting_until", models.DateTimeField(help_text="Deadline of the receiver's callback.", null=True)),
                (
                    "callback_message",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="SHA-256 of the id of the callback it took.",
                        max_length=64,
                    ),
                ),
                (
                    "callback_status",
                    models.CharField(blank=True, db_default="", default="", max_length=9),
                ),
                (
                    "callbacks_refused",
                    models.PositiveSmallIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Receipts about callbacks that contradicted the recorded outcome.",
                    ),
                ),
                ("fencing_token", models.PositiveBigIntegerField(default=0)),
                (
                    "blocked_by_freeze",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.freeze",
                    ),
                ),
                ("dispatched_at", models.DateTimeField(help_text="Time when it was enqueued.", null=True)),
                (
                    "ready_at",
                    models.GeneratedField(
                        db_persist=True,
                        expression=Coalesce("next_try_at", "created_at"),
                        output_field=models.DateTimeField(),
                    ),
                ),
                (
                    "waits_for",
                    models.CharField(
                        blank=True, help_text="Limit of its integration that it waits for.", max_length=16
                    ),
                ),
                (
                    "is_simulated",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Whether the pinned version simulates its calls: nothing is sent.",
                    ),
                ),
                (
                    "is_repeatable",
                    models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text=(
                            "Whether it may be retried. Not after an ambiguous outcome at a receiver that does not "
                            "deduplicate."
                        ),
                    ),
                ),
                ("blocked_at", models.DateTimeField(help_text="Time since which a freeze has blocked it.", null=True)),
                ("worker_deaths", models.PositiveIntegerField(default=0)),
                ("failure", models.CharField(blank=True, max_length=32)),
                ("failure_detail", models.TextField(blank=True)),
                ("result", models.JSONField(null=True)),
                ("correlation_id", models.CharField(blank=True, max_length=128)),
                (
                    "traceparent",
                    models.CharField(blank=True, help_text="Trace of the request that created it.", max_length=55),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "work_item_id", "id"], name="execution_item_idx"),
                    models.Index(fields=["tenant", "status", "id"], name="execution_status_idx"),
                    models.Index(fields=["tenant", "workflow", "id"], name="execution_workflow_idx"),
                    models.Index(fields=["tenant", "channel", "id"], name="execution_channel_idx"),
                    models.Index(fields=["tenant", "policy_version_id", "id"], name="execution_policy_idx"),
                    models.Index(
                        condition=models.Q(
                            ("blocked_by_freeze__isnull", True), ("dispatched_at__isnull", True), ("status", "started")
                        ),
                        fields=["tenant", "integration", "ready_at", "id"],
                        name="execution_waiting_idx",
                    ),
                    models.Index(
                        condition=models.Q(("dispatched_at__isnull", False), ("status__in", ["started", "running"])),
                        fields=["tenant", "integration", "ready_at"],
                        name="execution_dispatched_idx",
                    ),
                    models.Index(
                        condition=models.Q(("blocked_by_freeze__isnull", False), ("status", "started")),
                        fields=["tenant", "blocked_by_freeze", "id"],
                        name="execution_blocked_idx",
                    ),
                    models.Index(
                        condition=models.Q(("status", "running")),
                        fields=["tenant", "integration", "id"],
                        name="execution_running_idx",
                    ),
                    models.Index(
                        condition=models.Q(("undo_due_at__isnull", False)),
                        fields=["tenant", "undo_due_at", "id"],
                        name="execution_undo_due_idx",
                    ),
                    models.Index(
                        condition=models.Q(("undo_next_try_at__isnull", False)),
                        fields=["undo_next_try_at"],
                        name="execution_undo_try_idx",
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["started", "running"])),
                        fields=["status", "next_try_at", "lease_until"],
                        name="execution_due_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="execution_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="execution_tenant_id_key"),
                    TenantForeignKey(field="integration_version", name="execution_integration_version_fk"),
                    TenantForeignKey(field="envelope", name="execution_envelope_fk"),
                    TenantForeignKey(field="blocked_by_freeze", name="execution_blocked_by_freeze_fk"),
                    CaseVisibility(item="work_item_id", name="execution_visibility", parties=("requested_by",)),
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("status__in", ["awaiting_approval", "started", "running", "outcome_unknown"])
                        ),
                        fields=("tenant", "work_item_id"),
                        name="execution_one_open_per_item",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("status__in", ["awaiting_approval", "started", "running", "outcome_unknown", "succeeded"]),
                            ("undoes_id__isnull", False),
                        ),
                        fields=("tenant", "undoes_id"),
                        name="execution_undone_once",
                    ),
                    models.UniqueConstraint(
                        fields=("tenant", "requested_by", "idempotency_key"), name="execution_idempotency_key_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="FreezeBlock",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "freeze",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="blocks",
                        to="integrations.freeze",
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.execution",
                    ),
                ),
                ("blocked_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "execution"], name="freezeblock_execution_idx")],
                "constraints": [
                    RowLevelSecurity(name="freezeblock_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="freezeblock_tenant_id_key"),
                    TenantForeignKey(field="freeze", name="freezeblock_freeze_fk"),
                    TenantForeignKey(field="execution", name="freezeblock_execution_fk"),
                    models.UniqueConstraint(fields=("tenant", "freeze", "execution"), name="freezeblock_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="attempts",
                        to="integrations.execution",
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
            options={
                "constraints": [
                    RowLevelSecurity(name="attempt_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="attempt_tenant_id_key"),
                    TenantForeignKey(field="execution", name="attempt_execution_fk"),
                    models.UniqueConstraint(fields=("tenant", "execution", "number"), name="attempt_number_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="IntegrationTest",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "integration",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="tests",
                        to="integrations.integration",
                    ),
                ),
                (
                    "integration_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.integrationversion",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[(name, name) for name in ("queued", "running", "passed", "failed")],
                        db_default="queued",
                        default="queued",
                        max_length=16,
                    ),
                ),
                (
                    "failure",
                    models.CharField(
                        blank=True, help_text="Reason code of the first check that failed.", max_length=32
                    ),
                ),
                ("failure_detail", models.CharField(blank=True, max_length=500)),
                ("checks", models.JSONField(default=list, help_text="[{check, ok, failure, detail}]")),
                (
                    "action",
                    models.CharField(
                        blank=True, help_text="Action of a test call; empty for checks alone.", max_length=63
                    ),
                ),
                (
                    "request",
                    models.JSONField(help_text="Exact request of a test call, with secrets by reference.", null=True),
                ),
                (
                    "response",
                    models.JSONField(
                        help_text="Recorded response of a test call, bounded and without secrets.", null=True
                    ),
                ),
                ("requested_by", models.UUIDField()),
                ("lease_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "integration", "id"], name="integrationtest_list_idx"),
                    models.Index(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=["status", "lease_until"],
                        name="integrationtest_open_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="integrationtest_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="integrationtest_tenant_id_key"),
                    TenantForeignKey(field="integration", name="integrationtest_integration_fk"),
                    TenantForeignKey(field="integration_version", name="integrationtest_integration_version_fk"),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=("tenant", "integration"),
                        name="integrationtest_one_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ToolList",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "integration",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.integration",
                    ),
                ),
                (
                    "integration_version_id",
                    models.UUIDField(help_text="Version of the last attempt to read.", null=True),
                ),
                ("base_url", models.CharField(blank=True, max_length=2048)),
                (
                    "protocol_version",
                    models.CharField(blank=True, help_text="Version that the server speaks.", max_length=10),
                ),
                ("tried_at", models.DateTimeField(null=True)),
                ("read_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(default=clock.now, help_text="Time of the next reading.")),
                (
                    "failures",
                    models.PositiveSmallIntegerField(db_default=0, default=0, help_text="Since the last success."),
                ),
                ("problem", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="toollist_due_idx")],
                "constraints": [
                    RowLevelSecurity(name="toollist_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="toollist_tenant_id_key"),
                    TenantForeignKey(field="integration", name="toollist_integration_fk"),
                    models.UniqueConstraint(fields=("tenant", "integration"), name="toollist_integration_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Tool",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "integration",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.integration",
                    ),
                ),
                ("name", models.CharField(max_length=128)),
                ("found", models.JSONField(null=True)),
                (
                    "found_sha256",
                    models.CharField(blank=True, help_text="Empty: the server does not offer it.", max_length=64),
                ),
                ("found_at", models.DateTimeField(default=clock.now)),
                ("accepted", models.JSONField(null=True)),
                ("accepted_sha256", models.CharField(blank=True, max_length=64)),
                ("accepted_by", models.UUIDField(null=True)),
                ("accepted_at", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="tool_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="tool_tenant_id_key"),
                    TenantForeignKey(field="integration", name="tool_integration_fk"),
                    models.UniqueConstraint(fields=("tenant", "integration", "name"), name="tool_name_once"),
                ]
            },
        ),
    ]
