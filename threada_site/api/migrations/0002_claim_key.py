from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql" / "claim_key.sql"


class Migration(migrations.Migration):
    dependencies = [("api", "0001_initial")]

    operations = [migrations.RunSQL(SQL.read_text(), "DROP FUNCTION threada_claim_key(uuid, uuid, text, text)")]
