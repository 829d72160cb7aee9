from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("policies", "0003_calendar")]

    operations = [
        migrations.AddField(
            model_name="policyversion",
            name="superseded_at",
            field=models.DateTimeField(
                help_text="Since when open steps that pin it take no more votes: a newer version applies to them.",
                null=True,
            ),
        )
    ]
