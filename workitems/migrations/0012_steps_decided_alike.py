from django.db import migrations, models


class Migration(migrations.Migration):
    """What was decided before under the same rule about the same action."""

    dependencies = [("workitems", "0011_claimed_steps")]

    operations = [
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(
                fields=["tenant", "batch_key", "id"],
                condition=models.Q(status__in=["approved", "rejected"]),
                name="decisionstep_alike_idx",
            ),
        ),
    ]
