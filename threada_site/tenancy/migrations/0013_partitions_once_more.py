from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "partitions.sql"


class Migration(migrations.Migration):
    """The functions again: tables may go by the month of another row, and empty months are dropped."""

    dependencies = [("tenancy", "0012_partitions_again")]

    operations = [migrations.RunSQL(SQL.read_text(), migrations.RunSQL.noop)]
