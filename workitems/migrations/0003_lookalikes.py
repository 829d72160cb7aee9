from pathlib import Path

from django.db import migrations

SQL = Path(__file__).resolve().parent / "_0003"


class Migration(migrations.Migration):
    """Look-up of values that resemble earlier ones. Code without it marks none, as before."""

    compatible_with_running_code = True
    dependencies = [("workitems", "0002_unknown_requesters")]

    operations = [
        migrations.RunSQL((SQL / "lookalikes.sql").read_text(), "DROP FUNCTION threada_lookalikes(uuid[], uuid)"),
    ]
