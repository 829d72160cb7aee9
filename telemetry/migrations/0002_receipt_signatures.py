from django.db import migrations, models

from threada_site.database.constraints import AppendOnly, InstanceRows
from threada_site.kernel import ids


class Migration(migrations.Migration):
    compatible_with_running_code = True

    dependencies = [("telemetry", "0001_initial")]

    operations = [
        migrations.AddField("receipt", "signature", models.TextField(default="", db_default="", blank=True)),
        migrations.CreateModel(
            name="ReceiptKeyNote",
            fields=[
                ("id", models.UUIDField(default=ids.new_uuid, editable=False, primary_key=True, serialize=False)),
                ("note", models.TextField(help_text="The signed note.")),
                ("signed_at", models.DateTimeField()),
            ],
            options={
                "constraints": [
                    InstanceRows(name="receiptkeynote_rls", readable="everybody"),
                    AppendOnly(name="receiptkeynote_append_only"),
                ],
            },
        ),
    ]
