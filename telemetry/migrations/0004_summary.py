import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.ids


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0003_export_jobs"),
        ("tenancy", "0004_people_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="SummaryCount",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("day", models.DateField()),
                ("workflow", models.CharField(blank=True, max_length=63)),
                ("channel", models.CharField(blank=True, max_length=63)),
                ("integration", models.CharField(blank=True, max_length=63)),
                ("policy_version_id", models.UUIDField(null=True)),
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
                    threada_site.database.constraints.RowLevelSecurity(name="summarycount_rls"),
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
                ],
            },
        ),
        migrations.CreateModel(
            name="SummaryPosition",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("counted", models.BigIntegerField(default=0, help_text="Leaves counted: the index of the next one.")),
                ("latest_at", models.DateTimeField(help_text="When the last counted receipt was written.", null=True)),
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
                    threada_site.database.constraints.RowLevelSecurity(name="summaryposition_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="summaryposition_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant",), name="summaryposition_one_per_tenant"),
                ],
            },
        ),
    ]
