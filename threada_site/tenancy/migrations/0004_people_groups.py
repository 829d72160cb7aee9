from pathlib import Path

import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids
import threada_site.tenancy.models

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [
        ("tenancy", "0003_user_time_zone"),
    ]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="owner",
            field=models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.CreateModel(
            name="PeopleGroup",
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
            options={
                "verbose_name": "group",
            },
        ),
        migrations.CreateModel(
            name="PeopleGroupMember",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "group",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to="tenancy.peoplegroup",
                    ),
                ),
                (
                    "membership",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="group_memberships",
                        to="tenancy.membership",
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
            model_name="peoplegroup",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="peoplegroup_rls"),
        ),
        migrations.AddConstraint(
            model_name="peoplegroup",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="peoplegroup_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="peoplegroup",
            constraint=models.UniqueConstraint(fields=("tenant", "slug"), name="peoplegroup_slug_once"),
        ),
        migrations.AddIndex(
            model_name="peoplegroupmember",
            index=models.Index(fields=["tenant", "membership"], name="peoplegroupmember_of"),
        ),
        migrations.AddConstraint(
            model_name="peoplegroupmember",
            constraint=threada_site.database.constraints.RowLevelSecurity(name="peoplegroupmember_rls"),
        ),
        migrations.AddConstraint(
            model_name="peoplegroupmember",
            constraint=models.UniqueConstraint(fields=("tenant", "id"), name="peoplegroupmember_tenant_id_key"),
        ),
        migrations.AddConstraint(
            model_name="peoplegroupmember",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="group", name="peoplegroupmember_group_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="peoplegroupmember",
            constraint=threada_site.database.constraints.TenantForeignKey(
                field="membership", name="peoplegroupmember_membership_fk"
            ),
        ),
        migrations.AddConstraint(
            model_name="peoplegroupmember",
            constraint=models.UniqueConstraint(fields=("tenant", "group", "membership"), name="peoplegroupmember_once"),
        ),
        migrations.RunSQL((SQL / "people_groups.sql").read_text(), (SQL / "functions.sql").read_text()),
    ]
