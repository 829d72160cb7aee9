import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.ids


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0009_receipts_by_month"),
        ("tenancy", "0010_partitions"),
    ]

    operations = [
        migrations.CreateModel(
            name="SummaryRollup",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField()),
                ("dimension", models.CharField(blank=True, max_length=16)),
                ("key", models.CharField(blank=True, max_length=63)),
                ("measure", models.CharField(max_length=24)),
                ("label", models.CharField(blank=True, max_length=64)),
                ("count", models.BigIntegerField()),
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
                "constraints": [
                    threada_site.database.constraints.RowLevelSecurity(name="summaryrollup_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="summaryrollup_tenant_id_key"),
                    models.UniqueConstraint(
                        fields=("tenant", "dimension", "day", "key", "measure", "label"), name="summaryrollup_once"
                    ),
                ],
            },
        ),
    ]
