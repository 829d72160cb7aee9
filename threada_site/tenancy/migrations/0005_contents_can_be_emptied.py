from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent.parent / "sql"


class Migration(migrations.Migration):
    dependencies = [("tenancy", "0004_people_groups")]

    operations = [
        migrations.RunSQL((SQL / "emptied_contents.sql").read_text(), (SQL / "triggers.sql").read_text()),
    ]
