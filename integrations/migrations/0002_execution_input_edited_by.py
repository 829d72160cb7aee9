from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("integrations", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="input_edited_by",
            field=models.UUIDField(help_text="Who last changed the input that was asked for.", null=True),
        )
    ]
