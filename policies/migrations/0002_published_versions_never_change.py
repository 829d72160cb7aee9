from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "published_versions.sql"


class Migration(migrations.Migration):
    dependencies = [("policies", "0001_initial")]

    operations = [
        migrations.RunSQL(
            SQL.read_text(),
            "DROP TRIGGER published_versions_never_change ON policies_policyversion; "
            "DROP FUNCTION threada_keep_published_version();",
        )
    ]
