from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "outbox.sql"


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0008_kept_figures")]

    operations = [
        migrations.RunSQL(
            SQL.read_text(),
            "DROP TABLE tenancy_job, tenancy_worker, tenancy_relay; DROP FUNCTION tenancy_job_tell();",
        )
    ]
