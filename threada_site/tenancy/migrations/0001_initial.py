from pathlib import Path

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids
import threada_site.tenancy.models

SQL = Path(__file__).resolve().parent.parent / "sql" / "triggers.sql"


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        # First, since append-only tables of all apps name this function.
        migrations.RunSQL(SQL.read_text(), "DROP FUNCTION threada_refuse_change();"),
        migrations.CreateModel(
            name="Tenant",
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
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
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
                ],
            },
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
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "username",
                    threada_site.tenancy.models.SlugColumn(
                        max_length=63,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "^[a-z0-9][a-z0-9_-]{0,62}\\Z", "Use a–z, 0–9, '-' and '_', at most 63 characters."
                            )
                        ],
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
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
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
            },
        ),
        migrations.CreateModel(
            name="Role",
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
                (
                    "group",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT, related_name="role", to="auth.group"
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
            ],
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="memberships",
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
            ],
        ),
        migrations.CreateModel(
            name="Credential",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("token_sha256", models.BinaryField(max_length=32, unique=True)),
                (
                    "hint",
                    models.CharField(
                        editable=False, help_text="The first characters, to tell tokens apart.", max_length=16
                    ),
                ),
                ("label", models.CharField(blank=True, max_length=200)),
                ("scopes", models.JSONField(default=list)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="credentials",
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
            ],
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["human", "service", "agent"])), name="user_kind_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="role",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="role_rls"),
        ),
        migrations.AddConstraint(
            model_name="role",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="role_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="role",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="role_slug_once"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="membership_rls"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="membership_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="membership",
            constraint=models.UniqueConstraint(fields=("tenant", "user"), name="membership_once"),
        ),
        migrations.AddConstraint(
            model_name="credential",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="credential_rls"),
        ),
        migrations.AddConstraint(
            model_name="credential",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="credential_tenant_id_key"),
        ),
    ]
