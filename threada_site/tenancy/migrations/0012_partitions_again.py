from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "partitions.sql"


class Migration(migrations.Migration):
    """The functions again, where an earlier form of them was installed."""

    dependencies = [("tenancy", "0011_instance")]

    operations = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
