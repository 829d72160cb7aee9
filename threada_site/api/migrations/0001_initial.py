from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import threada_site.database.constraints
import threada_site.kernel.ids

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenancy", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=threada_site.kernel.ids.new_uuid, editable=False, primary_key=True, serialize=False
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
                    threada_site.database.constraints.RowLevelSecurity(name="idempotencyrecord_rls"),
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
