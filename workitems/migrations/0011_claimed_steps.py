from django.db import migrations, models


class Migration(migrations.Migration):
    """The steps that somebody is on, by who is: the desk's filter, however many wait."""

    dependencies = [("workitems", "0010_cases_about_people")]

    operations = [
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(
                fields=["tenant", "claimed_by"],
                condition=models.Q(status="pending", claimed_by__isnull=False),
                name="decisionstep_claimed_idx",
            ),
        ),
    ]
