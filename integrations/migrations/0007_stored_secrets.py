import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.clock
import threada_site.kernel.ids
import threada_site.tenancy.models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0006_revisions"),
        ("tenancy", "0005_contents_can_be_emptied"),
    ]

    operations = [
        migrations.CreateModel(
            name="StoredSecret",
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
                ("hosts", models.JSONField(help_text="The hosts that it may be sent to.")),
                ("token", models.BinaryField(help_text="Fernet: {tenant, slug, value}.")),
                ("key_id", models.CharField(help_text="Which of the instance's keys encrypted it.", max_length=16)),
                ("number", models.PositiveIntegerField(default=1, help_text="Counts its values.")),
                ("created_by", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=threada_site.kernel.clock.now, editable=False)),
                ("changed_at", models.DateTimeField(default=threada_site.kernel.clock.now)),
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
                "verbose_name": "secret",
                "indexes": [models.Index(fields=["key_id", "id"], name="storedsecret_key_idx")],
                "constraints": [
                    threada_site.database.constraints.RowLevelSecurity(name="storedsecret_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="storedsecret_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant", "slug"), name="storedsecret_slug_once"),
                ],
            },
        ),
    ]
