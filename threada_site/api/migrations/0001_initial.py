from pathlib import Path

from django.db import migrations, models
from django.db.models import PROTECT

from threada_site.database.constraints import RowLevelSecurity
from threada_site.kernel import ids

SQL = Path(__file__).resolve().parent / "_v1"

TENANT = {"db_index": False, "editable": False, "on_delete": PROTECT, "related_name": "+", "to": "tenancy.tenant"}


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenancy", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(**TENANT)),
                ("principal_id", models.UUIDField()),
                ("path", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("body_sha256", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField()),
                ("headers", models.JSONField(default=dict)),
                ("response", models.BinaryField()),
                ("expires_at", models.DateTimeField()),
            ],
            options={
                "indexes": [models.Index(fields=["expires_at"], name="idempotency_expiry_idx")],
                "constraints": [
                    RowLevelSecurity(name="idempotencyrecord_rls"),
                    models.UniqueConstraint(fields=("tenant", "id"), name="idempotencyrecord_tenant_id_key"),
                    models.UniqueConstraint(
                        fields=("tenant", "principal_id", "path", "key"), name="idempotency_key_once"
                    ),
                ],
            },
        ),
        migrations.RunSQL(
            (SQL / "reserve_key.sql").read_text(), "DROP FUNCTION threada_reserve_key(uuid, uuid, text, text);"
        ),
    ]
