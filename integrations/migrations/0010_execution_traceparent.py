from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0009_undo_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="traceparent",
            field=models.CharField(blank=True, help_text="The trace of the request that asked for it.", max_length=55),
        ),
    ]
