from django.db import migrations, models
from django.db.models import PROTECT

from threada_site.database.constraints import AppendOnly, RowLevelSecurity
from threada_site.kernel import ids

TENANT = {"db_index": False, "editable": False, "on_delete": PROTECT, "related_name": "+", "to": "tenancy.tenant"}


class Migration(migrations.Migration):
    compatible_with_running_code = True

    dependencies = [("telemetry", "0002_receipt_signatures"), ("tenancy", "0002_functions")]

    operations = [
        migrations.CreateModel(
            name="QuarantineCount",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("receipts", models.BigIntegerField()),
                ("last_at", models.DateTimeField()),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="quarantinecount_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="quarantinecount_tenant_id_key"),
                    models.UniqueConstraint(fields=("tenant",), name="quarantinecount_tenant_key"),
                ]
            },
        ),
        migrations.CreateModel(
            name="QuarantinedReceipt",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("reason", models.CharField(max_length=32)),
                ("refused_at", models.DateTimeField()),
                ("receipt", models.JSONField(null=True)),
                ("tenant", models.ForeignKey(**TENANT)),
            ],
            options={
                "constraints": [
                    RowLevelSecurity(name="quarantinedreceipt_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="quarantinedreceipt_tenant_id_key"),
                    AppendOnly(name="quarantinedreceipt_append_only"),
                ]
            },
        ),
    ]
