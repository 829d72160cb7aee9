from pathlib import Path

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models import CASCADE, PROTECT

from threada_site.database.constraints import AppendOnly, InstanceRows, RowLevelSecurity, TenantForeignKey
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import SlugColumn

SQL = Path(__file__).resolve().parent / "_v1"

TENANT = {"db_index": False, "editable": False, "on_delete": PROTECT, "related_name": "+", "to": "tenancy.tenant"}


class Migration(migrations.Migration):
    initial = True

    dependencies = [("auth", "0012_alter_user_first_name_max_length")]

    operations = [
        # First, since append-only tables of all apps name this function.
        migrations.RunSQL((SQL / "append_only.sql").read_text(), "DROP FUNCTION threada_refuse_change();"),
        migrations.RunSQL(
            (SQL / "partitions.sql").read_text(),
            "DROP FUNCTION threada_move_overflow(text, integer); DROP FUNCTION threada_drop_month(text, integer); "
            "DROP FUNCTION threada_add_months(text, integer); DROP FUNCTION threada_partition_by_month(text); "
            "DROP FUNCTION threada_add_partition(text, text, uuid, uuid); "
            "DROP FUNCTION threada_lock_partitioned(text); DROP FUNCTION threada_count_to(text, integer); "
            "DROP FUNCTION threada_copy_rows(text, text); DROP FUNCTION threada_enable_rls(text); "
            "DROP FUNCTION threada_partitions(text); DROP FUNCTION threada_instant(uuid); "
            "DROP FUNCTION threada_first_id(timestamp);",
        ),
        migrations.RunSQL(
            (SQL / "outbox.sql").read_text(),
            "DROP TABLE tenancy_job, tenancy_worker, tenancy_relay; DROP FUNCTION tenancy_job_tell();",
        ),
        migrations.CreateModel(
            name="StoredMetrics",
            fields=[
                ("id", models.SmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("metrics", models.JSONField(editable=False)),
                ("collected_at", models.DateTimeField(editable=False)),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="storedmetrics_one_row")]
            },
        ),
        migrations.CreateModel(
            name="LastBackup",
            fields=[
                ("id", models.SmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("made_at", models.DateTimeField(editable=False)),
                ("name", models.CharField(editable=False, help_text="Name of the file.", max_length=255)),
                ("size", models.BigIntegerField(editable=False)),
                ("has_keys", models.BooleanField(editable=False)),
            ],
            options={"constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="lastbackup_one_row")]},
        ),
        migrations.CreateModel(
            name="SchemaMigration",
            fields=[
                ("name", models.CharField(editable=False, max_length=300, primary_key=True, serialize=False)),
                ("is_compatible", models.BooleanField(editable=False)),
                ("version", models.CharField(editable=False, max_length=40)),
                ("applied_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="RateBucket",
            fields=[
                ("key", models.TextField(editable=False, primary_key=True, serialize=False)),
                ("tokens", models.FloatField(editable=False)),
                ("refilled_at", models.DateTimeField(editable=False)),
            ],
            options={"constraints": [InstanceRows(name="ratebucket_rls", readable="nobody")]},
        ),
        migrations.CreateModel(
            name="RateRefusals",
            fields=[
                ("kind", models.TextField(editable=False, primary_key=True, serialize=False)),
                ("requests", models.BigIntegerField(editable=False)),
            ],
            options={"constraints": [InstanceRows(name="raterefusals_rls", readable="nobody")]},
        ),
        migrations.CreateModel(
            name="Instance",
            fields=[
                ("id", models.SmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("salt", models.BinaryField()),
                ("facts", models.JSONField(default=dict, editable=False)),
                ("made_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={"constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="instance_one_row")]},
        ),
        migrations.CreateModel(
            name="SignInCounter",
            fields=[
                (
                    "key",
                    models.BinaryField(editable=False, max_length=32, primary_key=True, serialize=False),
                ),
                ("failures", models.PositiveIntegerField(editable=False)),
                ("last_at", models.DateTimeField(db_index=True, editable=False)),
            ],
        ),
        migrations.CreateModel(
            name="Tenant",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("slug", SlugColumn(unique=True)),
                ("name", models.CharField(max_length=200)),
                ("is_active", models.BooleanField(default=True)),
                (
                    "personal_token_days",
                    models.PositiveSmallIntegerField(
                        default=90, help_text="Longest life of a personal token, in days."
                    ),
                ),
                (
                    "require_mfa",
                    models.BooleanField(
                        default=True,
                        editable=False,
                        help_text="Require a second factor of roles that can decide, or say so.",
                    ),
                ),
                (
                    "browser_origins",
                    models.JSONField(
                        default=list,
                        editable=False,
                        help_text="Origins of web pages that may call the API from a browser.",
                    ),
                ),
                (
                    "first_steps_hidden_at",
                    models.DateTimeField(
                        editable=False, help_text="Time when a steward hid the checklist of first steps.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "permissions": [
                    ("workitems_read", "workitems:read"),
                    ("workitems_write", "workitems:write"),
                    ("workitems_on_behalf", "workitems:on_behalf"),
                    ("workflow_manage", "workflow:manage"),
                    ("policies_write", "policies:write"),
                    ("policies_publish", "policies:publish"),
                    ("decisions_decide", "decisions:decide"),
                    ("integrations_manage", "integrations:manage"),
                    ("actions_execute", "actions:execute"),
                    ("actions_freeze", "actions:freeze"),
                    ("telemetry_read", "telemetry:read"),
                    ("identity_provision", "identity:provision"),
                    ("configuration_write", "configuration:write"),
                ]
            },
        ),
        migrations.CreateModel(
            name="SignInDomain",
            fields=[
                ("domain", models.CharField(editable=False, max_length=253, primary_key=True, serialize=False)),
                ("provider", models.CharField(editable=False, help_text="Id of the identity provider.", max_length=63)),
                ("confirmed_at", models.DateTimeField(editable=False)),
                ("expires_at", models.DateTimeField(editable=False, null=True)),
                (
                    "holder",
                    models.ForeignKey(
                        db_index=False, on_delete=models.deletion.CASCADE, related_name="+", to="tenancy.tenant"
                    ),
                ),
            ],
            options={"constraints": [InstanceRows(name="signindomain_rls", readable="everybody")]},
        ),
        migrations.CreateModel(
            name="User",
            fields=[
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("username", SlugColumn()),
                (
                    "home_tenant",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=PROTECT,
                        related_name="+",
                        to="tenancy.tenant",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("human", "human"), ("service", "service"), ("agent", "agent")], max_length=8
                    ),
                ),
                ("display_name", models.CharField(blank=True, max_length=200)),
                ("email", models.EmailField(blank=True, max_length=254)),
                (
                    "email_confirmed_at",
                    models.DateTimeField(
                        editable=False, help_text="Time at which the person used a link mailed to `email`.", null=True
                    ),
                ),
                (
                    "time_zone",
                    models.CharField(
                        blank=True, help_text="Time zone in which this person reads times.", max_length=64
                    ),
                ),
                (
                    "language",
                    models.CharField(
                        blank=True, help_text="Language in which this person reads the console.", max_length=16
                    ),
                ),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "principal",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ["human", "service", "agent"])), name="user_kind_known"
                    ),
                    models.CheckConstraint(condition=models.Q(("is_superuser", False)), name="user_never_superuser"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("home_tenant__isnull", True), ("kind", "human")),
                            models.Q(models.Q(("kind", "human"), _negated=True), ("home_tenant__isnull", False)),
                            _connector="OR",
                        ),
                        name="user_home_of_services_and_agents",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("home_tenant__isnull", True)),
                        fields=("username",),
                        name="user_person_name_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("home_tenant__isnull", False)),
                        fields=("home_tenant", "username"),
                        name="user_name_once_in_tenant",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("user", models.ForeignKey(on_delete=PROTECT, related_name="memberships", to=settings.AUTH_USER_MODEL)),
                (
                    "owner",
                    models.ForeignKey(
                        db_index=False, null=True, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("added_by", models.UUIDField(editable=False, help_text="Principal; empty: the operator.", null=True)),
                (
                    "accepted_at",
                    models.DateTimeField(
                        editable=False,
                        null=True,
                        help_text="Time at which a person accepted the invitation; votes need it.",
                    ),
                ),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="membership_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="membership_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "user"), name="membership_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Role",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("group", models.OneToOneField(on_delete=PROTECT, related_name="role", to="auth.group")),
                (
                    "visibility",
                    models.CharField(
                        choices=[("tenant", "tenant"), ("own", "own")],
                        default="tenant",
                        help_text="Work items that workitems:read of this role shows.",
                        max_length=6,
                    ),
                ),
                (
                    "require_mfa",
                    models.BooleanField(
                        editable=False,
                        help_text="Require a second factor of people with this role; empty: if the role can decide.",
                        null=True,
                    ),
                ),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="role_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="role_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="role_slug_once"),
                    models.CheckConstraint(
                        condition=models.Q(("visibility__in", ["tenant", "own"])), name="role_visibility_known"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="PeopleGroup",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("name", models.CharField(blank=True, max_length=200)),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="scim: a provisioning client maintains it; empty: people do.",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "verbose_name": "group",
                "constraints": [
                    RowLevelSecurity(name="peoplegroup_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="peoplegroup_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="peoplegroup_slug_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="PeopleGroupMember",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "group",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="memberships",
                        to="tenancy.peoplegroup",
                    ),
                ),
                (
                    "membership",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="group_memberships",
                        to="tenancy.membership",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "membership"], name="peoplegroupmember_of")],
                "constraints": [
                    RowLevelSecurity(name="peoplegroupmember_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="peoplegroupmember_tenant_id_key"),
                    TenantForeignKey(field="group", name="peoplegroupmember_group_fk"),
                    TenantForeignKey(field="membership", name="peoplegroupmember_membership_fk"),
                    models.UniqueConstraint(fields=("tenant", "group", "membership"), name="peoplegroupmember_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProvisionedPerson",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "user",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("user_name", models.CharField(max_length=255)),
                ("user_name_key", models.CharField(max_length=255)),
                ("external_id", models.CharField(blank=True, max_length=255)),
                ("is_active", models.BooleanField(default=True)),
                ("attributes", models.JSONField(default=dict)),
                ("version", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("modified_at", models.DateTimeField(default=clock.now, editable=False)),
                ("deleted_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="provisionedperson_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="provisionedperson_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "user"), name="provisionedperson_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("deleted_at__isnull", True)),
                        fields=("tenant", "user_name_key"),
                        name="provisionedperson_user_name_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("external_id", ""), _negated=True),
                        fields=("tenant", "external_id"),
                        name="provisionedperson_external_id_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProvisionedGroup",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "group",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="provisioned",
                        to="tenancy.peoplegroup",
                    ),
                ),
                ("display_name", models.CharField(max_length=255)),
                ("display_name_key", models.CharField(max_length=255)),
                ("external_id", models.CharField(blank=True, max_length=255)),
                ("version", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("modified_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "display_name_key"], name="provisionedgroup_name")],
                "constraints": [
                    RowLevelSecurity(name="provisionedgroup_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="provisionedgroup_tenant_id_key"),
                    TenantForeignKey(field="group", name="provisionedgroup_group_fk"),
                    models.UniqueConstraint(fields=("tenant", "group"), name="provisionedgroup_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("external_id", ""), _negated=True),
                        fields=("tenant", "external_id"),
                        name="provisionedgroup_external_id_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ProvisionedGroupMember",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "group",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="people",
                        to="tenancy.provisionedgroup",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=CASCADE,
                        related_name="groups",
                        to="tenancy.provisionedperson",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "person"], name="provisionedgroupmember_of")],
                "constraints": [
                    RowLevelSecurity(name="provisionedgroupmember_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="provisionedgroupmember_tenant_id_key"),
                    TenantForeignKey(field="group", name="provisionedgroupmember_group_fk"),
                    TenantForeignKey(field="person", name="provisionedgroupmember_person_fk"),
                    models.UniqueConstraint(fields=("tenant", "group", "person"), name="provisionedgroupmember_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="FourEyesRule",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("slug", SlugColumn()),
                ("is_required", models.BooleanField(default=False)),
                ("changed_at", models.DateTimeField(default=clock.now, editable=False)),
                ("end_asked_by", models.UUIDField(null=True)),
                ("end_asked_at", models.DateTimeField(null=True)),
            ],
            options={
                "verbose_name": "four-eyes rule",
                "verbose_name_plural": "four-eyes rules",
                "constraints": [
                    RowLevelSecurity(name="foureyesrule_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="foureyesrule_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="foureyesrule_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("end_asked_at__isnull", True), ("end_asked_by__isnull", True)),
                            models.Q(
                                ("end_asked_at__isnull", False), ("end_asked_by__isnull", False), ("is_required", True)
                            ),
                            _connector="OR",
                        ),
                        name="foureyesrule_asked_by_somebody",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TenantDeletion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("change_set_id", models.UUIDField(editable=False)),
                ("requested_by", models.UUIDField(editable=False)),
                ("confirmed_by", models.UUIDField(editable=False)),
                ("confirmed_at", models.DateTimeField(default=clock.now, editable=False)),
                ("due_at", models.DateTimeField(editable=False)),
                (
                    "withdrawn_by",
                    models.UUIDField(editable=False, help_text="Principal; empty: the operator.", null=True),
                ),
                ("withdrawn_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="tenantdeletion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="tenantdeletion_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("withdrawn_at__isnull", True)),
                        fields=("tenant",),
                        name="tenantdeletion_one_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="DeletedTenant",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("log_id", models.UUIDField(db_index=True, editable=False)),
                ("facts", models.JSONField(editable=False)),
                ("note", models.TextField(blank=True, editable=False, help_text="The signed note.")),
                ("begun_at", models.DateTimeField(default=clock.now, editable=False)),
                ("ended_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    InstanceRows(name="deletedtenant_rls"),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("log_id",),
                        name="deletedtenant_one_open",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TenantQuota",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("kind", models.CharField(max_length=32)),
                ("most", models.BigIntegerField(null=True)),
                ("used", models.BigIntegerField(default=0)),
                ("counted_at", models.DateTimeField(null=True)),
                ("progress", models.JSONField(default=dict)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="tenantquota_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="tenantquota_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "kind"), name="tenantquota_once"),
                    models.CheckConstraint(condition=models.Q(("most__gte", 0)), name="tenantquota_not_negative"),
                ],
            },
        ),
        migrations.CreateModel(
            name="DataSubject",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("lookup", models.BinaryField(max_length=32, null=True)),
                ("reference", models.BinaryField(help_text="Encrypted with the key of the subject.", null=True)),
                (
                    "wrapped_key",
                    models.BinaryField(help_text="Wrapped with the people_key of the instance.", null=True),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("erased_at", models.DateTimeField(editable=False, null=True)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="datasubject_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="datasubject_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "lookup"), name="datasubject_lookup_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("erased_at__isnull", True),
                                ("lookup__isnull", False),
                                ("reference__isnull", False),
                                ("wrapped_key__isnull", False),
                            ),
                            models.Q(
                                ("erased_at__isnull", False),
                                ("lookup__isnull", True),
                                ("reference__isnull", True),
                                ("wrapped_key__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="datasubject_erased_wholly",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="Credential",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("user", models.ForeignKey(on_delete=PROTECT, related_name="credentials", to=settings.AUTH_USER_MODEL)),
                ("token_sha256", models.BinaryField(max_length=32, unique=True)),
                (
                    "hint",
                    models.CharField(
                        editable=False, help_text="The first characters, to tell tokens apart.", max_length=16
                    ),
                ),
                ("label", models.CharField(blank=True, max_length=200)),
                ("scopes", models.JSONField(default=list)),
                ("issued_by", models.UUIDField(editable=False, help_text="Principal; empty: the operator.", null=True)),
                (
                    "awaits_confirmation",
                    models.BooleanField(
                        default=False, editable=False, help_text="Not valid before a second steward confirms it."
                    ),
                ),
                ("confirmed_by", models.UUIDField(editable=False, null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "networks",
                    ArrayField(
                        base_field=models.CharField(max_length=43),
                        default=list,
                        editable=False,
                        help_text="Networks that requests came from, newest last.",
                    ),
                ),
                (
                    "roles",
                    ArrayField(
                        base_field=models.CharField(max_length=63),
                        editable=False,
                        help_text="Roles that a token which was exchanged acts with; empty: all that its principal has.",
                        null=True,
                    ),
                ),
                (
                    "trusted_issuer_version_id",
                    models.UUIDField(
                        editable=False,
                        help_text="Version by which another token was exchanged for this one.",
                        null=True,
                    ),
                ),
                (
                    "subject_token_sha256",
                    models.BinaryField(
                        help_text="SHA-256 of the token that was exchanged for this one.", max_length=32, null=True
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("trusted_issuer_version_id__isnull", False)),
                        fields=["tenant", "expires_at"],
                        name="credential_exchanged_idx",
                    )
                ],
                "constraints": [
                    RowLevelSecurity(name="credential_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="credential_tenant_id_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Agent",
            fields=[],
            options={"verbose_name": "agent", "proxy": True, "indexes": [], "constraints": []},
            bases=("tenancy.membership",),
        ),
        migrations.CreateModel(
            name="PersonalToken",
            fields=[],
            options={"verbose_name": "personal token", "proxy": True, "indexes": [], "constraints": []},
            bases=("tenancy.credential",),
        ),
        migrations.CreateModel(
            name="AccountLink",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                (
                    "purpose",
                    models.CharField(
                        choices=[
                            ("invitation", "invitation"),
                            ("reset", "password reset"),
                            ("address", "new mail address"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "address",
                    models.EmailField(
                        blank=True, help_text="Mail address; empty: the link is shown to a steward.", max_length=254
                    ),
                ),
                (
                    "previous_address",
                    models.EmailField(
                        blank=True, help_text="Address that the person had before, to be told.", max_length=254
                    ),
                ),
                ("token_sha256", models.BinaryField(max_length=32, null=True, unique=True)),
                ("is_mailed", models.BooleanField(default=False, editable=False)),
                ("mail_failure", models.CharField(blank=True, editable=False, max_length=500)),
                (
                    "created_by",
                    models.UUIDField(
                        editable=False, help_text="Principal; empty: the operator or the person.", null=True
                    ),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("expires_at", models.DateTimeField(editable=False)),
                ("used_at", models.DateTimeField(editable=False, null=True)),
                ("withdrawn_at", models.DateTimeField(editable=False, null=True)),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "user",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "verbose_name": "invitation",
                "constraints": [
                    RowLevelSecurity(name="accountlink_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="accountlink_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("used_at__isnull", True), ("withdrawn_at__isnull", True)),
                        fields=("tenant", "user", "purpose"),
                        name="accountlink_open_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccountDependence",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("created", "created the account"),
                            ("invited", "sent the invitation"),
                            ("reset", "reset the password"),
                            ("issued", "issued a credential"),
                            ("owned", "owned the agent or service"),
                            ("linked", "made the identity provider that signs the person in"),
                        ],
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("ended_at", models.DateTimeField(editable=False, null=True)),
                ("ended_by", models.UUIDField(editable=False, null=True)),
                (
                    "ended_how",
                    models.CharField(blank=True, help_text="steward, identity_provider or operator", max_length=20),
                ),
                (
                    "depends_on",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "user",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=["tenant", "user"],
                        name="accountdependence_open",
                    )
                ],
                "constraints": [
                    RowLevelSecurity(name="accountdependence_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="accountdependence_tenant_id_key"),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessReview",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("started_by", models.UUIDField(editable=False)),
                ("started_at", models.DateTimeField(default=clock.now, editable=False)),
                ("entry_count", models.PositiveIntegerField(editable=False)),
                ("sha256", models.CharField(editable=False, max_length=64)),
                ("finished_by", models.UUIDField(editable=False, null=True)),
                ("finished_at", models.DateTimeField(editable=False, null=True)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "verbose_name": "access review",
                "constraints": [
                    RowLevelSecurity(name="accessreview_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="accessreview_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("finished_at", None)), fields=("tenant",), name="accessreview_one_open"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessReviewEntry",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("holds", models.JSONField(editable=False)),
                (
                    "decision",
                    models.CharField(blank=True, choices=[("keep", "keep"), ("remove", "remove")], max_length=6),
                ),
                ("comment", models.CharField(blank=True, max_length=500)),
                ("decided_by", models.UUIDField(editable=False, null=True)),
                ("decided_at", models.DateTimeField(editable=False, null=True)),
                (
                    "review",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="entries",
                        to="tenancy.accessreview",
                    ),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "user",
                    models.ForeignKey(
                        db_index=False,
                        editable=False,
                        on_delete=PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "entry",
                "verbose_name_plural": "entries",
                "constraints": [
                    RowLevelSecurity(name="accessreviewentry_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="accessreviewentry_tenant_id_key"),
                    TenantForeignKey(field="review", name="accessreviewentry_review_fk"),
                    models.UniqueConstraint(fields=("tenant", "review", "user"), name="accessreviewentry_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("decided_by", None),
                            models.Q(("decided_by", models.F("user_id")), _negated=True),
                            _connector="OR",
                        ),
                        name="accessreviewentry_not_oneself",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="AccessHolder",
            fields=[],
            options={
                "verbose_name": "holder",
                "proxy": True,
                "indexes": [],
                "constraints": [],
            },
            bases=("tenancy.membership",),
        ),
        migrations.CreateModel(
            name="ChangeSet",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("rule", models.CharField(max_length=63)),
                ("operation", models.CharField(max_length=63)),
                ("title", models.CharField(max_length=300)),
                ("arguments", models.JSONField()),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
                ("digest", models.CharField(max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("proposed", "proposed"),
                            ("published", "published"),
                            ("rejected", "rejected"),
                            ("stale", "stale"),
                        ],
                        default="proposed",
                        max_length=10,
                    ),
                ),
                (
                    "proposed_by",
                    models.UUIDField(editable=False, help_text="Principal; empty: the operator.", null=True),
                ),
                ("proposed_at", models.DateTimeField(default=clock.now, editable=False)),
                ("parties", models.JSONField(default=list, help_text="Ids of people who have a part in the change.")),
                ("closed_by", models.UUIDField(editable=False, null=True)),
                ("closed_at", models.DateTimeField(editable=False, null=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "status", "id"], name="changeset_by_status")],
                "constraints": [
                    RowLevelSecurity(name="changeset_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="changeset_tenant_id_key"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "proposed")),
                        fields=("tenant", "digest"),
                        name="changeset_proposed_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="GrantRecord",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("member", "membership"),
                            ("role", "role"),
                            ("group", "group"),
                            ("scope", "scope on one object"),
                        ],
                        max_length=8,
                    ),
                ),
                ("name", models.CharField(blank=True, max_length=160)),
                ("effective_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "granted_by",
                    models.UUIDField(editable=False, help_text="Principal; empty: the operator.", null=True),
                ),
                ("confirmed_by", models.UUIDField(editable=False, null=True)),
                ("confirmed_at", models.DateTimeField(editable=False, null=True)),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        editable=False,
                        help_text="Identity provider of a role; empty: made by hand.",
                        max_length=63,
                    ),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "user",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="grantrecord_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="grantrecord_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "user", "kind", "name"), name="grantrecord_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RoleScopeRecord",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("role", models.CharField(max_length=63)),
                ("scope", models.CharField(max_length=40)),
                ("effective_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "granted_by",
                    models.UUIDField(editable=False, help_text="Principal; empty: the operator.", null=True),
                ),
                ("confirmed_by", models.UUIDField(editable=False, null=True)),
                ("confirmed_at", models.DateTimeField(editable=False, null=True)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="rolescoperecord_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="rolescoperecord_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "role", "scope"), name="rolescoperecord_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ConsoleSession",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("key_sha256", models.BinaryField(max_length=32, unique=True)),
                ("data", models.TextField(editable=False, help_text="Signed for this key.")),
                (
                    "identity_link_id",
                    models.UUIDField(
                        editable=False,
                        help_text="Account at an identity provider by which the person signed in.",
                        null=True,
                    ),
                ),
                (
                    "acting_tenant_id",
                    models.UUIDField(editable=False, help_text="Tenant that the person chose.", null=True),
                ),
                (
                    "factors",
                    models.CharField(
                        blank=True,
                        db_default="",
                        editable=False,
                        help_text="What the person proved, in order.",
                        max_length=100,
                    ),
                ),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("last_used_at", models.DateTimeField(default=clock.now, editable=False)),
                ("address", models.GenericIPAddressField(editable=False, null=True)),
                ("user_agent", models.CharField(blank=True, editable=False, max_length=300)),
                (
                    "user",
                    models.ForeignKey(
                        editable=False,
                        help_text="Empty: nobody is signed in.",
                        null=True,
                        on_delete=CASCADE,
                        related_name="console_sessions",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "session",
                "indexes": [models.Index(fields=["last_used_at"], name="consolesession_last_used")],
            },
        ),
        migrations.CreateModel(
            name="EnrolledFactor",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(editable=False, max_length=16)),
                ("label", models.CharField(blank=True, max_length=100)),
                ("secret", models.BinaryField(null=True)),
                ("key_id", models.CharField(blank=True, editable=False, max_length=16)),
                ("last_step", models.BigIntegerField(editable=False, null=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        editable=False,
                        on_delete=CASCADE,
                        related_name="enrolled_factors",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "second factor",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("kind__in", ("totp", "passkey"))), name="enrolledfactor_kind_known"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("kind", "totp"), ("secret__isnull", False))
                        | models.Q(models.Q(("kind", "totp"), _negated=True), ("secret__isnull", True)),
                        name="enrolledfactor_totp_has_secret",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Passkey",
            fields=[
                (
                    "factor",
                    models.OneToOneField(
                        editable=False,
                        on_delete=CASCADE,
                        primary_key=True,
                        related_name="passkey",
                        serialize=False,
                        to="tenancy.enrolledfactor",
                    ),
                ),
                ("credential_id", models.BinaryField(unique=True)),
                ("data", models.BinaryField()),
                ("user_handle", models.BinaryField(max_length=64)),
                ("rp_id", models.CharField(editable=False, help_text="Host that it is bound to.", max_length=253)),
                ("sign_count", models.BigIntegerField(default=0, editable=False)),
                (
                    "transports",
                    ArrayField(base_field=models.CharField(max_length=20), default=list, editable=False),
                ),
                (
                    "is_synced",
                    models.BooleanField(
                        default=False,
                        editable=False,
                        help_text="A password manager may copy it to other devices of the person.",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="RecoveryCode",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("code_sha256", models.BinaryField(max_length=32, unique=True)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                (
                    "user",
                    models.ForeignKey(
                        editable=False,
                        on_delete=CASCADE,
                        related_name="recovery_codes",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="IdentityProvider",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("slug", SlugColumn()),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("name", models.CharField(blank=True, max_length=200)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
        ),
        migrations.CreateModel(
            name="IdentityProviderVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
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
                ("spec", models.JSONField()),
                ("spec_sha256", models.CharField(max_length=64)),
                ("is_operators", models.BooleanField(default=False, editable=False)),
                (
                    "proposed_by",
                    models.UUIDField(
                        editable=False, help_text="Steward who proposed it, if another one confirmed it.", null=True
                    ),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="tenancy.identityprovider",
                    ),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="identityproviderversion_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="identityproviderversion_tenant_id_key"),
                    TenantForeignKey(field="provider", name="identityproviderversion_provider_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "provider", "number"), name="identityproviderversion_number_once"
                    ),
                    AppendOnly(name="identityproviderversion_append_only"),
                ],
            },
        ),
        migrations.AddField(
            model_name="identityprovider",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="tenancy.identityproviderversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="identityprovider", constraint=RowLevelSecurity(name="identityprovider_rls")
        ),
        migrations.AddConstraint(
            model_name="identityprovider",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="identityprovider_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="identityprovider",
            constraint=TenantForeignKey(field="current_version", name="identityprovider_current_version_fk"),
        ),
        migrations.AddConstraint(
            model_name="identityprovider",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="identityprovider_slug_once"),
        ),
        migrations.CreateModel(
            name="IdentityLink",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("issuer", models.CharField(max_length=500)),
                ("subject", models.CharField(max_length=255)),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("last_used_at", models.DateTimeField(default=clock.now, editable=False)),
                ("suspended_at", models.DateTimeField(editable=False, null=True)),
                (
                    "ended_at",
                    models.DateTimeField(
                        editable=False, help_text="Time at which the person's membership ended.", null=True
                    ),
                ),
                (
                    "unlinked_at",
                    models.DateTimeField(editable=False, help_text="Time at which its person unlinked it.", null=True),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "user",
                    models.ForeignKey(db_index=False, on_delete=PROTECT, related_name="+", to=settings.AUTH_USER_MODEL),
                ),
                (
                    "provider",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="links",
                        to="tenancy.identityprovider",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "user"], name="identitylink_of")],
                "constraints": [
                    RowLevelSecurity(name="identitylink_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="identitylink_tenant_id_key"),
                    TenantForeignKey(field="provider", name="identitylink_provider_fk"),
                    models.UniqueConstraint(
                        fields=("tenant", "provider", "issuer", "subject"), name="identitylink_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TrustedIssuer",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("slug", SlugColumn()),
                ("created_at", models.DateTimeField(default=clock.now, editable=False)),
                ("issuer", models.CharField(max_length=500, null=True)),
                ("audience", models.CharField(max_length=500, null=True)),
                ("keys", models.JSONField(editable=False, null=True)),
                ("keys_source", models.CharField(blank=True, editable=False, max_length=600)),
                ("keys_fetched_at", models.DateTimeField(editable=False, null=True)),
                ("keys_problem", models.CharField(blank=True, editable=False, max_length=500)),
                ("keys_tried_source", models.CharField(blank=True, editable=False, max_length=600)),
                ("keys_tried_at", models.DateTimeField(editable=False, null=True)),
                (
                    "keys_failures",
                    models.PositiveSmallIntegerField(default=0, editable=False, help_text="Since the last success."),
                ),
                (
                    "keys_due_at",
                    models.DateTimeField(editable=False, help_text="Time of the next fetch.", null=True),
                ),
                (
                    "keys_wanted_at",
                    models.DateTimeField(editable=False, help_text="A token named a key that is not known.", null=True),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "verbose_name": "trusted issuer",
            },
        ),
        migrations.CreateModel(
            name="TrustedIssuerVersion",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
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
                ("spec", models.JSONField()),
                ("spec_sha256", models.CharField(max_length=64)),
                (
                    "proposed_by",
                    models.UUIDField(
                        editable=False,
                        help_text="Proposer of the change set; empty without one, or for the operator.",
                        null=True,
                    ),
                ),
                ("tenant", models.ForeignKey(**TENANT)),
                (
                    "trusted_issuer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=PROTECT,
                        related_name="versions",
                        to="tenancy.trustedissuer",
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="trustedissuer",
            name="current_version",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=PROTECT,
                related_name="+",
                to="tenancy.trustedissuerversion",
            ),
        ),
        migrations.AddConstraint(
            model_name="trustedissuerversion",
            constraint=RowLevelSecurity(name="trustedissuerversion_rls"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuerversion",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="trustedissuerversion_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuerversion",
            constraint=TenantForeignKey(field="trusted_issuer", name="trustedissuerversion_trusted_issuer_fk"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuerversion",
            constraint=models.UniqueConstraint(
                fields=("tenant", "trusted_issuer", "number"), name="trustedissuerversion_number_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="trustedissuerversion",
            constraint=AppendOnly(name="trustedissuerversion_append_only"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuer",
            constraint=RowLevelSecurity(name="trustedissuer_rls"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuer",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="trustedissuer_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuer",
            constraint=TenantForeignKey(field="current_version", name="trustedissuer_current_version_fk"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuer",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="trustedissuer_slug_once"),
        ),
        migrations.AddConstraint(
            model_name="trustedissuer",
            constraint=models.UniqueConstraint(fields=("issuer", "audience"), name="trustedissuer_pair_once"),
        ),
        migrations.CreateModel(
            name="DocumentSource",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("kind", models.CharField(max_length=63)),
                ("name", models.CharField(max_length=200)),
                ("spec_sha256", models.CharField(max_length=64)),
                ("text", models.TextField()),
                ("updated_at", models.DateTimeField(default=clock.now, editable=False)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="documentsource_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="documentsource_tenant_id_key"),
                    models.UniqueConstraint(
                        fields=("tenant", "kind", "name", "spec_sha256"), name="documentsource_once"
                    ),
                ]
            },
        ),
    ]
