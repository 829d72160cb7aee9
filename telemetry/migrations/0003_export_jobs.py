from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("telemetry", "0002_tenant_logs"),
    ]

    operations = [
        migrations.AddField(
            model_name="telemetryexport",
            name="attempt",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="compression",
            field=models.CharField(default="none", max_length=8),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="expires_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="failure",
            field=models.CharField(blank=True, db_default="", help_text="A reason code.", max_length=64),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="failure_detail",
            field=models.CharField(blank=True, db_default="", max_length=300),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="lease_until",
            field=models.DateTimeField(help_text="Until when the worker that makes it is believed alive.", null=True),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="ready_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="rows",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="rows_expected",
            field=models.BigIntegerField(help_text="The planner's estimate.", null=True),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="sha256",
            field=models.CharField(blank=True, db_default="", max_length=64),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="size",
            field=models.BigIntegerField(db_default=0, default=0, help_text="Bytes of the file, so far or in all."),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="started_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="telemetryexport",
            name="status",
            field=models.CharField(
                choices=[
                    ("requested", "requested"),
                    ("running", "running"),
                    ("ready", "ready"),
                    ("failed", "failed"),
                    ("expired", "expired"),
                    ("cancelled", "cancelled"),
                ],
                db_default="requested",
                default="requested",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="telemetryexport",
            name="format",
            field=models.CharField(default="ndjson", max_length=32),
        ),
        migrations.AddIndex(
            model_name="telemetryexport",
            index=models.Index(
                condition=models.Q(("status__in", ["requested", "running"])),
                fields=["status", "lease_until"],
                name="telemetryexport_open_idx",
            ),
        ),
        migrations.AddIndex(
            model_name="telemetryexport",
            index=models.Index(
                condition=models.Q(("status", "ready")), fields=["expires_at"], name="telemetryexport_expiring_idx"
            ),
        ),
        migrations.AddConstraint(
            model_name="telemetryexport",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("status", "ready"), _negated=True),
                    models.Q(
                        ("expires_at__isnull", False),
                        ("ready_at__isnull", False),
                        models.Q(("sha256", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="telemetryexport_ready_is_whole",
            ),
        ),
    ]
