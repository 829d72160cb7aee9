from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "partitions.sql"


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0009_outbox")]

    operations = [
        migrations.RunSQL(
            SQL.read_text(),
            "DROP FUNCTION IF EXISTS threada_move_late(text, integer); DROP FUNCTION IF EXISTS threada_lock_around(text); "
            "DROP FUNCTION threada_join_months(text); DROP FUNCTION threada_partition_by_month(text, integer, text); "
            "DROP FUNCTION IF EXISTS threada_drop_month(text, integer); DROP FUNCTION IF EXISTS threada_count_to(text, integer); "
            "DROP FUNCTION threada_month_key(text); DROP FUNCTION threada_copy_rows(text, text); "
            "DROP FUNCTION threada_add_months(text, integer); "
            "DROP FUNCTION threada_add_partition(text, text, uuid, uuid); DROP FUNCTION threada_enable_rls(text); "
            "DROP FUNCTION threada_partitions(text); DROP FUNCTION threada_instant(uuid); "
            "DROP FUNCTION threada_first_id(timestamp);",
        )
    ]
