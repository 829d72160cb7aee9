import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids


class Migration(migrations.Migration):
    dependencies = [
        ("policies", "0006_overlay_windows"),
        ("tenancy", "0006_four_eyes_rules"),
    ]

    operations = [
        migrations.AddField(
            model_name="policyversion",
            name="written_by",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.UUIDField(),
                default=list,
                help_text="Everybody who has made or edited it: none of them checks it.",
            ),
        ),
        migrations.CreateModel(
            name="EmergencyPublication",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("replaced_version_id", models.UUIDField(null=True)),
                ("reason", models.CharField(max_length=500)),
                ("status", models.CharField(default="open", max_length=16)),
                ("published_by", models.UUIDField()),
                ("published_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("ends_at", models.DateTimeField()),
                ("closed_by", models.UUIDField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "policy",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="emergencies",
                        to="policies.policy",
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
                    "version",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="emergencies",
                        to="policies.policyversion",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "open")), fields=["ends_at"], name="emergencypublication_ends_idx"
                    )
                ],
                "constraints": [
                    threada_site.database.constraints.RowLevelSecurity(name="emergencypublication_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="emergencypublication_tenant_id_key"),
                    threada_site.database.constraints.TenantForeignKey(
                        field="policy", name="emergencypublication_policy_fk"
                    ),
                    threada_site.database.constraints.TenantForeignKey(
                        field="version", name="emergencypublication_version_fk"
                    ),
                    models.UniqueConstraint(fields=("tenant", "version"), name="emergencypublication_version_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("status", "open")),
                        fields=("tenant", "policy"),
                        name="emergencypublication_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["open", "confirmed", "replaced", "retired", "ended"])),
                        name="emergencypublication_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status", "confirmed"), _negated=True),
                            models.Q(
                                ("closed_by__isnull", False),
                                models.Q(("closed_by", models.F("published_by")), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="emergencypublication_confirmed_by_another",
                    ),
                ],
            },
        ),
    ]
