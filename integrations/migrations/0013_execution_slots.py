import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.ids


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0012_reason_salts"),
        ("tenancy", "0013_partitions_once_more"),
    ]

    operations = [
        migrations.CreateModel(
            name="ExecutionSlot",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "execution",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="slots",
                        to="integrations.execution",
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
            options={
                "indexes": [models.Index(fields=["tenant", "execution"], name="executionslot_execution_idx")],
                "constraints": [
                    threada_site.database.constraints.RowLevelSecurity(name="executionslot_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="executionslot_tenant_id_key"),
                    threada_site.database.constraints.TenantForeignKey(
                        field="execution", name="executionslot_execution_fk"
                    ),
                ],
            },
        ),
    ]
