from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "summary_rollup.sql"


class Migration(migrations.Migration):
    """Triggers and what was counted before, in one transaction: a count that came in between would be missed."""

    dependencies = [("telemetry", "0010_summary_rollups")]

    operations = [
        migrations.RunSQL(
            SQL.read_text(),
            "DROP FUNCTION threada_roll_up_counts() CASCADE; DELETE FROM telemetry_summaryrollup;",
        )
    ]
