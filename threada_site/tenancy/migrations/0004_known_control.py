from pathlib import Path

from django.db import migrations, models

SQL = Path(__file__).resolve().parent / "_0004"


class Migration(migrations.Migration):
    """`threada_controllers` returns NULL where a chain of control ends at nobody who is known.

    Code without it fails for such agents and services instead of taking them for independent.
    """

    compatible_with_running_code = True
    dependencies = [("tenancy", "0003_credential_session_factors")]
    operations = [
        migrations.RunSQL((SQL / "controllers.sql").read_text(), migrations.RunSQL.noop),
        migrations.AlterField(
            "accountdependence",
            "reason",
            models.CharField(
                max_length=8,
                choices=[
                    ("created", "created the account"),
                    ("invited", "sent the invitation"),
                    ("reset", "reset the password"),
                    ("issued", "issued a credential"),
                    ("owned", "owned the agent or service"),
                    ("named", "named the owner of the agent or service"),
                    ("linked", "made the identity provider that signs the person in"),
                ],
            ),
        ),
    ]
