from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import migrations, models
from django.db.models import CASCADE, DO_NOTHING, PROTECT
from django.db.models.functions import Coalesce, Greatest, Least

from threada_site.database.constraints import (
    AppendOnly,
    AudienceVisibility,
    CaseVisibility,
    RowLevelSecurity,
    TenantForeignKey,
)
from threada_site.kernel import clock, ids
from threada_site.kernel.json.canonical import new_salt
from threada_site.tenancy.models import SlugColumn

SQL = Path(__file__).resolve().parent / "_v1"

TENANT = {"db_index": False, "editable": False, "on_delete": PROTECT, "related_name": "+", "to": "tenancy.tenant"}


class Migration(migrations.Migration):
    initial = True

    dependencies = [("integrations", "0001_initial"), ("policies", "0001_initial"), ("tenancy", "0002_functions")]

    operations = [
        migrations.CreateModel(
            name="ConfigurationBaseline",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "digests",
                    models.JSONField(default=dict, help_text="`Kind name` → SHA-256 of the document in force."),
                ),
                ("prunes", models.BooleanField(default=False, help_text="Whether other objects count as differing.")),
                ("revision", models.CharField(blank=True, max_length=100)),
                ("applied_by", models.UUIDField(null=True)),
                ("applied_at", models.DateTimeField(default=clock.now)),
                ("drifted", models.JSONField(default=list, help_text="Names of the documents that differ.")),
                ("checked_at", models.DateTimeField(default=clock.now)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="configurationbaseline_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="configurationbaseline_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant",), name="configurationbaseline_tenant_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "membership",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="+",
                        to="tenancy.membership",
                    ),
                ),
                (
                    "page",
                    models.CharField(
                        db_default="desk",
                        default="desk",
                        help_text="The desk, or the name of a list.",
                        max_length=40,
                    ),
                ),
                ("name", models.CharField(max_length=60)),
                ("filters", models.JSONField(default=dict, help_text="Query parameters of the page.")),
                ("is_shared", models.BooleanField(db_default=False, default=False)),
                ("saved_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="savedview_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="savedview_tenant_id_key"),
                    TenantForeignKey(field="membership", name="savedview_membership_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "membership", "page", "name"), name="savedview_name_once"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="RequestDraft",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "membership",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="+",
                        to="tenancy.membership",
                    ),
                ),
                ("workflow", models.CharField(max_length=63)),
                ("workflow_version_id", models.UUIDField()),
                (
                    "entered",
                    models.JSONField(default=dict, help_text="Typed texts by pointer, and the rows of lists."),
                ),
                ("saved_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "membership", "id"], name="requestdraft_member_idx"),
                    models.Index(fields=["saved_at"], name="requestdraft_saved_idx"),
                ],
                "constraints": [
                    RowLevelSecurity(name="requestdraft_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="requestdraft_tenant_id_key"),
                    TenantForeignKey(field="membership", name="requestdraft_membership_fk"),
                ],
            },
        ),
        migrations.CreateModel(
            name="NotificationPreference",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "membership",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="+",
                        to="tenancy.membership",
                    ),
                ),
                (
                    "mail_address",
                    models.EmailField(blank=True, help_text="Overrides the address of the account.", max_length=254),
                ),
                ("mail_events", ArrayField(base_field=models.CharField(max_length=16), default=list)),
                ("chat_service", models.CharField(blank=True, max_length=32)),
                ("chat_address", models.BinaryField(null=True)),
                ("chat_events", ArrayField(base_field=models.CharField(max_length=16), default=list)),
                ("version", models.PositiveIntegerField(default=1)),
                ("updated_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="notificationpreference_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="notificationpreference_tenant_id_key"),
                    TenantForeignKey(field="membership", name="notificationpreference_membership_fk"),
                    models.UniqueConstraint(fields=("tenant", "membership"), name="notificationpreference_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("chat_address__isnull", True), ("chat_service", "")),
                            models.Q(models.Q(("chat_service", ""), _negated=True), ("chat_address__isnull", False)),
                            _connector="OR",
                        ),
                        name="notificationpreference_chat_is_whole",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="LegalHold",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("work_item_id", models.UUIDField(null=True)),
                ("workflow", models.CharField(blank=True, max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                (
                    "requester",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("created_after", models.DateTimeField(null=True)),
                ("created_before", models.DateTimeField(null=True)),
                ("reason", models.TextField()),
                (
                    "reason_salt",
                    models.BinaryField(
                        default=new_salt, help_text="Salt of the commitments in receipts.", max_length=16
                    ),
                ),
                ("set_by", models.UUIDField(null=True)),
                ("set_at", models.DateTimeField(default=clock.now, editable=False)),
                ("lifted_by", models.UUIDField(null=True)),
                ("lifted_at", models.DateTimeField(null=True)),
                ("lifted_reason", models.TextField(blank=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("lifted_at__isnull", True)), fields=["tenant"], name="legalhold_live_idx"
                    )
                ],
                "constraints": [
                    RowLevelSecurity(name="legalhold_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="legalhold_tenant_id_key"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("work_item_id__isnull", False),
                            models.Q(("channel", ""), ("workflow", ""), _negated=True),
                            ("requester__isnull", False),
                            ("created_after__isnull", False),
                            ("created_before__isnull", False),
                            _connector="OR",
                        ),
                        name="legalhold_holds_something",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RetentionRun",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("status", models.CharField(default="planned", max_length=10)),
                ("as_of", models.DateTimeField()),
                ("rules", models.JSONField(help_text="Rule versions in force, with the number of cases of each.")),
                ("planned_contents", models.PositiveIntegerField()),
                ("planned_cases", models.PositiveIntegerField()),
                ("planned_by", models.UUIDField(null=True)),
                ("contents_removed", models.PositiveIntegerField(default=0)),
                ("cases_removed", models.PositiveIntegerField(default=0)),
                ("receipts_removed", models.PositiveIntegerField(default=0)),
                ("batches", models.PositiveIntegerField(default=0)),
                ("archived", models.BooleanField(default=False)),
                ("failure", models.TextField(blank=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="retentionrun_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="retentionrun_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["planned", "running"])),
                        fields=("tenant",),
                        name="retentionrun_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["planned", "running", "finished", "superseded"])),
                        name="retentionrun_status_known",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="WorkItem",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "workflow_version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="policies.workflowversion",
                    ),
                ),
                ("workflow", models.CharField(max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                ("status", models.CharField(max_length=20)),
                ("payload", models.JSONField()),
                (
                    "title",
                    models.TextField(
                        blank=True, help_text="One line of at most 120 characters, computed from the payload."
                    ),
                ),
                (
                    "related_key",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="Digest of related values.",
                        max_length=64,
                    ),
                ),
                ("payload_sha256", models.CharField(max_length=64)),
                ("payload_salt", models.BinaryField(help_text="Salt of the commitment in receipts.", max_length=16)),
                ("confidence", models.FloatField(default=1.0)),
                ("risk_flags", ArrayField(base_field=models.CharField(max_length=64), default=list)),
                ("data_class", models.CharField(blank=True, max_length=63)),
                ("external_ref", models.CharField(blank=True, max_length=255)),
                (
                    "has_unique_ref",
                    models.BooleanField(
                        db_default=False, default=False, help_text="The workflow allows its external_ref once."
                    ),
                ),
                (
                    "metadata",
                    models.JSONField(
                        db_default={}, default=dict, help_text="Texts of the requester's system. Not encrypted."
                    ),
                ),
                (
                    "subject",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to="tenancy.datasubject",
                    ),
                ),
                (
                    "requester",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                (
                    "submitted_by",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                (
                    "assignee",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "edited_by",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("policy_version_id", models.UUIDField(help_text="Policy version of the last decision.", null=True)),
                ("version", models.PositiveIntegerField(default=1)),
                ("first_step_opened_at", models.DateTimeField(editable=False, null=True)),
                (
                    "ended_by",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "ended_reason",
                    models.TextField(blank=True, help_text="Reason of the person who cancelled or resolved it."),
                ),
                (
                    "nobody_can_decide",
                    models.BooleanField(
                        db_default=False, default=False, help_text="No member can complete its pending step."
                    ),
                ),
                (
                    "open_questions",
                    models.PositiveSmallIntegerField(
                        db_default=0, default=0, help_text="Open questions to the requester."
                    ),
                ),
                (
                    "starts_when_ready",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Its declared action starts when people have approved the work item.",
                    ),
                ),
                ("correlation_id", models.CharField(max_length=128)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("updated_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "contents_removed_at",
                    models.DateTimeField(
                        editable=False, help_text="Time at which retention removed its contents.", null=True
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "requester", "id"], name="workitem_requester_idx"),
                    models.Index(
                        condition=models.Q(("submitted_by", models.F("requester")), _negated=True),
                        fields=["tenant", "submitted_by", "id"],
                        name="workitem_submitter_idx",
                    ),
                    models.Index(fields=["tenant", "workflow", "id"], name="workitem_workflow_idx"),
                    models.Index(fields=["tenant", "channel", "id"], name="workitem_channel_idx"),
                    models.Index(fields=["tenant", "status", "id"], name="workitem_status_idx"),
                    models.Index(
                        condition=models.Q(("policy_version_id__isnull", False)),
                        fields=["tenant", "policy_version_id", "id"],
                        name="workitem_policy_idx",
                    ),
                    models.Index(
                        condition=models.Q(("nobody_can_decide", True)),
                        fields=["tenant", "id"],
                        name="workitem_nobody_idx",
                    ),
                    models.Index(
                        condition=models.Q(("open_questions__gt", 0)),
                        fields=["tenant", "id"],
                        name="workitem_questioned_idx",
                    ),
                    models.Index(fields=["tenant", "updated_at", "id"], name="workitem_updated_idx"),
                    models.Index(fields=["tenant", "data_class", "id"], name="workitem_data_class_idx"),
                    models.Index(
                        condition=models.Q(("external_ref", ""), _negated=True),
                        fields=["tenant", "external_ref", "id"],
                        name="workitem_external_ref_idx",
                    ),
                    models.Index(
                        condition=models.Q(("assignee__isnull", False)),
                        fields=["tenant", "assignee", "id"],
                        name="workitem_assignee_idx",
                    ),
                    models.Index(
                        condition=models.Q(("subject__isnull", False)),
                        fields=["tenant", "subject", "id"],
                        name="workitem_subject_idx",
                    ),
                    models.Index(
                        condition=models.Q(("related_key", ""), _negated=True),
                        fields=["tenant", "related_key", "id"],
                        name="workitem_related_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="workitem_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="workitem_tenant_id_key"),
                    TenantForeignKey(field="workflow_version", name="workitem_workflow_version_fk"),
                    TenantForeignKey(field="subject", name="workitem_subject_fk"),
                    CaseVisibility(item="id", name="workitem_visibility", parties=("requester_id", "submitted_by_id")),
                    models.UniqueConstraint(
                        condition=models.Q(("has_unique_ref", True)),
                        fields=("tenant", "workflow", "external_ref"),
                        name="workitem_external_ref_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ItemLabel",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="labels",
                        to="workitems.workitem",
                    ),
                ),
                ("label", models.UUIDField(help_text="Digest, see `workitems.items.labels`.")),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "work_item"], name="itemlabel_item_idx")],
                "constraints": [
                    RowLevelSecurity(name="itemlabel_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="itemlabel_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="itemlabel_work_item_fk"),
                    CaseVisibility(name="itemlabel_visibility"),
                    models.UniqueConstraint(fields=("tenant", "label", "work_item"), name="itemlabel_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Participant",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "principal",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="participants",
                        to="workitems.workitem",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "work_item"], name="participant_item_idx")],
                "constraints": [
                    RowLevelSecurity(name="participant_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="participant_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="participant_work_item_fk"),
                    models.UniqueConstraint(fields=("tenant", "principal", "work_item"), name="participant_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="CaseReading",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="workitems.workitem",
                    ),
                ),
                ("principal_id", models.UUIDField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "work_item"], name="casereading_item_idx")],
                "constraints": [
                    RowLevelSecurity(name="casereading_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="casereading_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="casereading_work_item_fk"),
                    models.UniqueConstraint(fields=("tenant", "principal_id", "work_item"), name="casereading_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Party",
            fields=[
                (
                    "work_item",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=DO_NOTHING,
                        primary_key=True,
                        related_name="party",
                        serialize=False,
                        to="workitems.workitem",
                    ),
                ),
                ("tenant_id", models.UUIDField()),
                ("principal_id", models.UUIDField()),
            ],
            options={"db_table": "workitems_party", "managed": False},
        ),
        migrations.RunSQL((SQL / "parties.sql").read_text(), "DROP VIEW workitems_party;"),
        migrations.CreateModel(
            name="SearchDocument",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="workitems.workitem",
                    ),
                ),
                ("words", SearchVectorField()),
            ],
            options={
                "indexes": [GinIndex(fields=["words"], name="searchdocument_words_idx", gin_pending_list_limit=512)],
                "constraints": [
                    RowLevelSecurity(name="searchdocument_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="searchdocument_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="searchdocument_work_item_fk"),
                    CaseVisibility(name="searchdocument_visibility", spares_owner=True),
                ],
            },
        ),
        migrations.CreateModel(
            name="SearchChange",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="workitems.workitem",
                    ),
                ),
                ("noted_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "work_item"], name="searchchange_item_idx")],
                "constraints": [
                    RowLevelSecurity(name="searchchange_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="searchchange_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="searchchange_work_item_fk"),
                ],
            },
        ),
        migrations.RunSQL((SQL / "search.sql").read_text(), "DROP FUNCTION threada_search;"),
        migrations.CreateModel(
            name="Evidence",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="evidence",
                        to="workitems.workitem",
                    ),
                ),
                ("position", models.PositiveIntegerField()),
                ("kind", models.CharField(max_length=20)),
                ("content", models.JSONField()),
            ],
            options={
                "verbose_name_plural": "evidence",
                "constraints": [
                    RowLevelSecurity(name="evidence_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="evidence_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="evidence_work_item_fk"),
                    models.UniqueConstraint(fields=("tenant", "work_item", "position"), name="evidence_position_once"),
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["citation", "retrieval_trace", "fallback"])),
                        name="evidence_kind_known",
                    ),
                    AppendOnly(emptied=("content",), name="evidence_append_only"),
                ],
            },
        ),
        migrations.CreateModel(
            name="DecisionStep",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="steps",
                        to="workitems.workitem",
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to="integrations.execution",
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
                ("envelope_sha256", models.CharField(max_length=64)),
                (
                    "payload_sha256",
                    models.CharField(help_text="Digest of the payload for which it was opened.", max_length=64),
                ),
                ("kind", models.CharField(max_length=8)),
                ("status", models.CharField(default="pending", max_length=16)),
                ("workflow", models.CharField(max_length=63)),
                ("question", models.TextField(blank=True)),
                ("rule", models.JSONField()),
                (
                    "batch_key",
                    models.CharField(
                        blank=True,
                        help_text="Same key: may be decided together.",
                        max_length=64,
                    ),
                ),
                (
                    "is_flagged",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="True if the item has risk flags, which never change.",
                    ),
                ),
                ("reason_codes", models.JSONField(default=list)),
                ("policy_decision_id", models.UUIDField(null=True)),
                ("policy_version_ids", ArrayField(base_field=models.UUIDField(), default=list)),
                ("excluded_ids", ArrayField(base_field=models.UUIDField(), default=list)),
                (
                    "excluded_controllers",
                    models.JSONField(default=dict, help_text="Who controlled them when the step opened."),
                ),
                ("respond_due_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(null=True)),
                ("remind_at", models.DateTimeField(null=True)),
                ("escalate_at", models.DateTimeField(null=True)),
                ("escalated_at", models.DateTimeField(null=True)),
                (
                    "grants_as_of",
                    models.DateTimeField(default=clock.now, help_text="Opening of the item's first step."),
                ),
                (
                    "escalated_to",
                    models.JSONField(default=list, help_text="Leaves whose people may take any position."),
                ),
                (
                    "extended_at",
                    models.DateTimeField(help_text="Time at which its deadline passed and was extended.", null=True),
                ),
                (
                    "paused_at",
                    models.DateTimeField(help_text="Time since which a question pauses its deadlines.", null=True),
                ),
                ("pause_ends_at", models.DateTimeField(help_text="Latest end of the pause.", null=True)),
                ("resumed_at", models.DateTimeField(help_text="End of the last pause.", null=True)),
                (
                    "paused_s",
                    models.PositiveIntegerField(db_default=0, default=0, help_text="Seconds of all pauses that ended."),
                ),
                ("sweep_after", models.DateTimeField(null=True)),
                ("sweep_failures", models.PositiveSmallIntegerField(db_default=0, default=0)),
                (
                    "next_due_at",
                    models.GeneratedField(
                        db_persist=True,
                        expression=models.Case(
                            models.When(paused_at__isnull=False, then=Greatest("pause_ends_at", "sweep_after")),
                            models.When(
                                escalate_at__isnull=True,
                                expires_at__isnull=True,
                                remind_at__isnull=True,
                                then=models.Value(None, output_field=models.DateTimeField()),
                            ),
                            default=Greatest(Least("remind_at", "escalate_at", "expires_at"), "sweep_after"),
                        ),
                        output_field=models.DateTimeField(null=True),
                    ),
                ),
                (
                    "reachability_check_due",
                    models.BooleanField(
                        db_default=True, default=True, help_text="True if its reachability must be checked."
                    ),
                ),
                (
                    "urgent_at",
                    models.GeneratedField(
                        db_persist=True,
                        expression=Coalesce(
                            Least("respond_due_at", "expires_at"),
                            models.Value(datetime(9999, 12, 31, 0, 0, tzinfo=UTC)),
                        ),
                        output_field=models.DateTimeField(),
                    ),
                ),
                (
                    "assignee",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "claimed_by",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("claimed_until", models.DateTimeField(null=True)),
                ("opened_at", models.DateTimeField(default=clock.now, editable=False)),
                ("closed_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "work_item", "id"], name="decisionstep_item_idx"),
                    models.Index(fields=["tenant", "status", "id"], name="decisionstep_status_idx"),
                    models.Index(
                        condition=models.Q(("next_due_at__isnull", False), ("status", "pending")),
                        fields=["tenant", "next_due_at"],
                        name="decisionstep_next_due_idx",
                    ),
                    models.Index(
                        condition=models.Q(("status", "pending")),
                        fields=["tenant", "urgent_at", "id"],
                        name="decisionstep_urgent_idx",
                    ),
                    models.Index(
                        condition=models.Q(("is_flagged", True), ("status", "pending")),
                        fields=["tenant", "urgent_at", "id"],
                        name="decisionstep_flagged_idx",
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["approved", "rejected"])),
                        fields=["tenant", "batch_key", "id"],
                        name="decisionstep_alike_idx",
                    ),
                    models.Index(
                        condition=models.Q(("claimed_by__isnull", False), ("status", "pending")),
                        fields=["tenant", "claimed_by"],
                        name="decisionstep_claimed_idx",
                    ),
                    models.Index(
                        condition=models.Q(("reachability_check_due", True), ("status", "pending")),
                        fields=["tenant", "id"],
                        name="decisionstep_reachability_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="decisionstep_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="decisionstep_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="decisionstep_work_item_fk"),
                    TenantForeignKey(field="execution", name="decisionstep_execution_fk"),
                    TenantForeignKey(field="envelope", name="decisionstep_envelope_fk"),
                    CaseVisibility(item="work_item_id", name="decisionstep_visibility"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "pending")),
                        fields=("tenant", "work_item"),
                        name="decisionstep_one_pending_per_item",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StepView",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "step",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="workitems.decisionstep",
                    ),
                ),
                (
                    "viewer",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("first_viewed_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="stepview_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="stepview_tenant_id_key"),
                    TenantForeignKey(field="step", name="stepview_step_fk"),
                    models.UniqueConstraint(fields=("tenant", "step", "viewer"), name="stepview_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="workitems.workitem",
                    ),
                ),
                (
                    "step",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="notices",
                        to="workitems.decisionstep",
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                (
                    "occurrence",
                    models.CharField(blank=True, help_text="Distinguishes events of the same kind.", max_length=64),
                ),
                (
                    "recipient_ids",
                    ArrayField(
                        base_field=models.UUIDField(), help_text="Recipients; null: all pending approvers.", null=True
                    ),
                ),
                ("facts", models.JSONField(default=dict)),
                ("correlation_id", models.CharField(max_length=128)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("addressed_at", models.DateTimeField(help_text="Time at which its messages were created.", null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("addressed_at__isnull", True)),
                        fields=["created_at"],
                        name="notice_unaddressed_idx",
                    )
                ],
                "constraints": [
                    RowLevelSecurity(name="notice_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="notice_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="notice_work_item_fk"),
                    TenantForeignKey(field="step", name="notice_step_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "work_item", "step", "kind", "occurrence"),
                        name="notice_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "kind__in",
                                [
                                    "assigned",
                                    "reminder",
                                    "escalated",
                                    "decided",
                                    "commented",
                                    "mentioned",
                                    "question",
                                    "answer",
                                    "undo_overdue",
                                ],
                            )
                        ),
                        name="notice_kind_known",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="NoticeMessage",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "notice",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="messages",
                        to="workitems.notice",
                    ),
                ),
                (
                    "recipient",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("channel", models.CharField(max_length=8)),
                ("status", models.CharField(default="due", max_length=8)),
                ("reason", models.CharField(blank=True, help_text="Reason code if it is not sent.", max_length=64)),
                ("detail", models.CharField(blank=True, max_length=500)),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("due_at", models.DateTimeField(null=True)),
                ("fence", models.BigIntegerField(default=0)),
                ("handed_over_at", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("settled_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "message",
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="noticemessage_due_idx"
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["failed", "unknown"])),
                        fields=["settled_at"],
                        name="noticemessage_failed_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="noticemessage_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="noticemessage_tenant_id_key"),
                    TenantForeignKey(field="notice", name="noticemessage_notice_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "notice", "recipient", "channel"), name="noticemessage_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("channel__in", ["mail", "chat"])), name="noticemessage_channel_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("due_at__isnull", False), ("status__in", ["due", "sending"])),
                            models.Q(
                                models.Q(("status__in", ["due", "sending"]), _negated=True), ("due_at__isnull", True)
                            ),
                            _connector="OR",
                        ),
                        name="noticemessage_due_while_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Vote",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "step",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="votes",
                        to="workitems.decisionstep",
                    ),
                ),
                (
                    "voter",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("voter_kind", models.CharField(max_length=8)),
                ("decision", models.CharField(max_length=8)),
                ("reason_code", models.CharField(blank=True, max_length=64)),
                ("comment", models.TextField(blank=True)),
                ("envelope_sha256", models.CharField(max_length=64)),
                ("counted", models.BooleanField()),
                (
                    "stands_for",
                    ArrayField(
                        base_field=models.UUIDField(),
                        default=list,
                        help_text="Delegators at the time of the vote.",
                    ),
                ),
                ("authentication", models.JSONField(default=dict, help_text="As in the receipt of the vote.")),
                (
                    "carried_from",
                    models.UUIDField(null=True, help_text="Vote on an earlier step over the same envelope."),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="vote_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="vote_tenant_id_key"),
                    TenantForeignKey(field="step", name="vote_step_fk"),
                    models.UniqueConstraint(fields=("tenant", "step", "voter"), name="vote_once"),
                    models.CheckConstraint(
                        condition=models.Q(("decision__in", ["approve", "reject"])), name="vote_decision_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("counted", False), ("voter_kind", "human"), _connector="OR"),
                        name="vote_counts_for_people_alone",
                    ),
                    AppendOnly(emptied=("comment",), name="vote_append_only"),
                ],
                "indexes": [models.Index(fields=["tenant", "voter", "step"], name="vote_voter_idx")],
            },
        ),
        migrations.CreateModel(
            name="PendingApproverKey",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "step",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="awaited",
                        to="workitems.decisionstep",
                    ),
                ),
                ("key", models.CharField(max_length=250)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "key", "step"], name="pendingapproverkey_key_idx")],
                "constraints": [
                    RowLevelSecurity(name="pendingapproverkey_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="pendingapproverkey_tenant_id_key"),
                    TenantForeignKey(field="step", name="pendingapproverkey_step_fk"),
                    models.UniqueConstraint(fields=("tenant", "step", "key"), name="pendingapproverkey_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="MembershipSnapshot",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("fingerprint", models.CharField(max_length=64)),
                ("checked_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="membershipsnapshot_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="membershipsnapshot_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant",), name="membershipsnapshot_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Delegation",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "delegator",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                (
                    "delegate",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(help_text="Planned or actual end.")),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "consented_by",
                    models.UUIDField(editable=False, help_text="The delegator, or a second person.", null=True),
                ),
                (
                    "consented_at",
                    models.DateTimeField(editable=False, help_text="Empty: not in force yet.", null=True),
                ),
                ("ended_at", models.DateTimeField(help_text="Time at which it was ended early.", null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "ends_at"], name="delegation_ends_idx"),
                    models.Index(fields=["tenant", "delegator", "id"], name="delegation_delegator_idx"),
                ],
                "constraints": [
                    RowLevelSecurity(name="delegation_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="delegation_tenant_id_key"),
                    models.CheckConstraint(
                        condition=models.Q(("delegator", models.F("delegate")), _negated=True),
                        name="delegation_not_to_oneself",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("ends_at__gte", models.F("starts_at"))), name="delegation_ends_after_start"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RetentionRule",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("workflow", models.CharField(blank=True, max_length=63)),
                ("data_class", models.CharField(blank=True, max_length=63)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="retentionrule_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="retentionrule_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="retentionrule_slug_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="RetentionRuleVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "rule",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="workitems.retentionrule",
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
                    RowLevelSecurity(name="retentionruleversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="retentionruleversion_tenant_id_key"),
                    TenantForeignKey(field="rule", name="retentionruleversion_rule_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "rule", "number"), name="retentionruleversion_number_once"
                    ),
                    AppendOnly(name="retentionruleversion_append_only"),
                ]
            },
        ),
        migrations.AddField(
            model_name="retentionrule",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="workitems.retentionruleversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=TenantForeignKey(field="current_version", name="retentionrule_current_version_fk"),
        ),
        migrations.AddConstraint(
            model_name="retentionrule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("current_version__isnull", False)),
                fields=("tenant", "workflow", "data_class"),
                name="retentionrule_scope_once",
            ),
        ),
        migrations.CreateModel(
            name="Comment",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="comments",
                        to="workitems.workitem",
                    ),
                ),
                (
                    "author",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("author_kind", models.CharField(max_length=8)),
                ("audience", models.CharField(max_length=8)),
                ("hidden_from", ArrayField(base_field=models.UUIDField(), default=list)),
                ("version", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("edited_at", models.DateTimeField(null=True)),
                ("removed_at", models.DateTimeField(null=True)),
                ("removed_by", models.UUIDField(null=True)),
                ("erased_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "work_item", "id"], name="comment_item_idx"),
                    models.Index(fields=["tenant", "author", "id"], name="comment_author_idx"),
                    models.Index(
                        condition=models.Q(("erased_at__isnull", True), ("removed_at__isnull", False)),
                        fields=["removed_at"],
                        name="comment_unerased_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="comment_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="comment_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="comment_work_item_fk"),
                    CaseVisibility(item="work_item_id", name="comment_visibility"),
                    AudienceVisibility(name="comment_audience"),
                    models.CheckConstraint(
                        condition=models.Q(("audience__in", ["everyone", "deciders"])), name="comment_audience_known"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="CommentVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "comment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="workitems.comment",
                    ),
                ),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to="workitems.workitem",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                ("text", models.TextField()),
                ("text_salt", models.BinaryField(default=new_salt, max_length=16)),
                (
                    "mentioned_ids",
                    ArrayField(
                        base_field=models.UUIDField(), default=list, help_text="Mentioned people who were notified."
                    ),
                ),
                (
                    "hidden_from",
                    ArrayField(base_field=models.UUIDField(), default=list, help_text="As in the comment."),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "work_item", "id"], name="commentversion_item_idx")],
                "constraints": [
                    RowLevelSecurity(name="commentversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="commentversion_tenant_id_key"),
                    TenantForeignKey(field="comment", name="commentversion_comment_fk"),
                    TenantForeignKey(field="work_item", name="commentversion_work_item_fk"),
                    CaseVisibility(item="work_item_id", name="commentversion_visibility"),
                    AudienceVisibility(name="commentversion_audience"),
                    models.UniqueConstraint(fields=("tenant", "comment", "number"), name="commentversion_once"),
                    AppendOnly(emptied=("text", "text_salt"), name="commentversion_append_only"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Attachment",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="attachments",
                        to="workitems.workitem",
                    ),
                ),
                (
                    "comment",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="attachments",
                        to="workitems.comment",
                    ),
                ),
                (
                    "uploaded_by",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("hidden_from", ArrayField(base_field=models.UUIDField(), default=list)),
                ("name", models.TextField()),
                ("file_key", models.BinaryField(max_length=32)),
                ("media_type", models.CharField(max_length=100)),
                ("size", models.BigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "stored_at",
                    models.DateTimeField(help_text="Time at which the whole file was in the storage.", null=True),
                ),
                (
                    "used_at",
                    models.DateTimeField(help_text="Time since which it belongs to its work item.", null=True),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("work_item__isnull", False)),
                        fields=["tenant", "work_item", "id"],
                        name="attachment_item_idx",
                    ),
                    models.Index(
                        condition=models.Q(("comment__isnull", False)),
                        fields=["tenant", "comment"],
                        name="attachment_comment_idx",
                    ),
                    models.Index(
                        condition=models.Q(("work_item__isnull", True)),
                        fields=["tenant", "uploaded_by", "id"],
                        name="attachment_unused_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="attachment_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="attachment_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="attachment_work_item_fk"),
                    TenantForeignKey(field="comment", name="attachment_comment_fk"),
                    CaseVisibility(item="work_item_id", name="attachment_visibility", parties=("uploaded_by_id",)),
                    AudienceVisibility(name="attachment_audience"),
                    models.CheckConstraint(
                        condition=models.Q(("comment__isnull", True), ("work_item__isnull", False), _connector="OR"),
                        name="attachment_comment_of_item",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredFile",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("path", models.CharField(help_text="Random name in the storage.", max_length=200)),
                ("size", models.BigIntegerField()),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "next_deletion_at",
                    models.DateTimeField(
                        help_text="Time of the next attempt to delete it, after one that failed.", null=True
                    ),
                ),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="storedfile_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="storedfile_tenant_id_key"),
                    models.UniqueConstraint(fields=("path",), name="storedfile_path_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RequesterQuestion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="questions",
                        to="workitems.workitem",
                    ),
                ),
                (
                    "step",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to="workitems.decisionstep",
                    ),
                ),
                (
                    "asked_by",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("text", models.TextField()),
                ("text_salt", models.BinaryField(default=new_salt, max_length=16)),
                ("status", models.CharField(default="open", max_length=10)),
                ("pauses", models.BooleanField(default=False)),
                ("asked_version", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("expires_at", models.DateTimeField()),
                ("answer", models.TextField(blank=True)),
                ("answer_salt", models.BinaryField(max_length=16, null=True)),
                (
                    "answered_by",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("answered_version", models.PositiveIntegerField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "work_item", "id"], name="requesterquestion_item_idx"),
                    models.Index(fields=["tenant", "asked_by", "id"], name="requesterquestion_asker_idx"),
                    models.Index(
                        condition=models.Q(("status", "open")), fields=["expires_at"], name="requesterquestion_open_idx"
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="requesterquestion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="requesterquestion_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="requesterquestion_work_item_fk"),
                    TenantForeignKey(field="step", name="requesterquestion_step_fk"),
                    CaseVisibility(item="work_item_id", name="requesterquestion_visibility"),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["open", "answered", "withdrawn", "expired", "closed"])),
                        name="requesterquestion_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("ended_at__isnull", True), ("status", "open")),
                            models.Q(models.Q(("status", "open"), _negated=True), ("ended_at__isnull", False)),
                            _connector="OR",
                        ),
                        name="requesterquestion_ended_unless_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Watch",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "work_item",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="watches",
                        to="workitems.workitem",
                    ),
                ),
                (
                    "principal",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "verbose_name_plural": "watches",
                "constraints": [
                    RowLevelSecurity(name="watch_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="watch_tenant_id_key"),
                    TenantForeignKey(field="work_item", name="watch_work_item_fk"),
                    CaseVisibility(item="work_item_id", name="watch_visibility"),
                    models.UniqueConstraint(fields=("tenant", "work_item", "principal"), name="watch_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Permit",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("workflow", models.CharField(max_length=63)),
                ("workflow_id", models.UUIDField()),
                ("integration", models.CharField(max_length=63)),
                ("action", models.CharField(max_length=63)),
                ("step_id", models.UUIDField(help_text="Decision step on which it was proposed.")),
                ("work_item_id", models.UUIDField(help_text="Work item of that step.")),
                ("status", models.CharField(default="proposed", max_length=16)),
                ("body", models.BinaryField(help_text="Canonical bytes that approvers approve.")),
                ("sha256", models.CharField(max_length=64)),
                (
                    "limits",
                    models.JSONField(help_text="Terms in force: those of the body, or narrower ones. Without bounds."),
                ),
                ("bounds", models.JSONField(default=list, help_text="Bounds in force. They may name people.")),
                ("ends_at", models.DateTimeField()),
                ("rule", models.JSONField()),
                ("grants_as_of", models.DateTimeField()),
                ("escalated_to", models.JSONField(default=list)),
                ("used_count", models.PositiveIntegerField(default=0)),
                ("used_sum", models.DecimalField(decimal_places=6, default=0, max_digits=24)),
                (
                    "proposed_by",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("proposed_at", models.DateTimeField(default=clock.now, editable=False)),
                ("in_effect_at", models.DateTimeField(null=True)),
                ("narrowed_at", models.DateTimeField(null=True)),
                ("revoked_at", models.DateTimeField(null=True)),
                ("revoked_by", models.UUIDField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "in_effect")),
                        fields=["tenant", "workflow", "integration", "action", "ends_at"],
                        name="permit_in_effect_idx",
                    ),
                ],
                "constraints": [
                    RowLevelSecurity(name="permit_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="permit_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "step_id", "sha256"), name="permit_once"),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["proposed", "in_effect", "revoked"])),
                        name="permit_status_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("used_sum__gte", 0)), name="permit_sum_not_negative"),
                ],
            },
        ),
        migrations.CreateModel(
            name="PermitApproval",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "permit",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="approvals",
                        to="workitems.permit",
                    ),
                ),
                ("sha256", models.CharField(max_length=64)),
                (
                    "voter",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("vote_id", models.UUIDField()),
                (
                    "stands_for",
                    ArrayField(
                        base_field=models.UUIDField(),
                        default=list,
                        help_text="Delegators at the time of the approval.",
                    ),
                ),
                ("authentication", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="permitapproval_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="permitapproval_tenant_id_key"),
                    TenantForeignKey(field="permit", name="permitapproval_permit_fk"),
                    models.UniqueConstraint(fields=("tenant", "permit", "voter"), name="permitapproval_once"),
                    AppendOnly(name="permitapproval_append_only"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProofRun",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "queued"),
                            ("running", "running"),
                            ("passed", "passed"),
                            ("failed", "failed"),
                            ("broken", "broken"),
                        ],
                        default="queued",
                        max_length=8,
                    ),
                ),
                (
                    "requested_by",
                    models.UUIDField(editable=False, help_text="Principal; empty: the operator.", null=True),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                (
                    "document",
                    models.JSONField(help_text="Findings as `manage.py prove --json` prints them.", null=True),
                ),
                (
                    "sha256",
                    models.CharField(
                        blank=True, help_text="Digest of the canonical JSON of the findings.", max_length=64
                    ),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "verbose_name": "proof",
                "constraints": [
                    RowLevelSecurity(name="proofrun_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="proofrun_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=("tenant",),
                        name="proofrun_one_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PermitUse",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "permit",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="uses",
                        to="workitems.permit",
                    ),
                ),
                ("execution_id", models.UUIDField()),
                ("work_item_id", models.UUIDField()),
                (
                    "policy_decision_id",
                    models.UUIDField(help_text="Decision whose facts the bounds were evaluated for."),
                ),
                ("amount", models.DecimalField(decimal_places=6, default=0, max_digits=24)),
                ("reserved_at", models.DateTimeField(default=clock.now, editable=False)),
                ("returned_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "permit", "id"], name="permituse_permit_idx")],
                "constraints": [
                    RowLevelSecurity(name="permituse_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="permituse_tenant_id_key"),
                    TenantForeignKey(field="permit", name="permituse_permit_fk"),
                    models.UniqueConstraint(
                        condition=models.Q(("returned_at__isnull", True)),
                        fields=("tenant", "execution_id"),
                        name="permituse_once",
                    ),
                    models.CheckConstraint(condition=models.Q(("amount__gte", 0)), name="permituse_not_negative"),
                ],
            },
        ),
        migrations.RunSQL((SQL / "statuses.sql").read_text(), "DROP FUNCTION threada_statuses;"),
    ]
