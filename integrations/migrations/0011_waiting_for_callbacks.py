from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0010_execution_traceparent"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="waiting_until",
            field=models.DateTimeField(help_text="Until when its receiver may call back.", null=True),
        ),
    ]
