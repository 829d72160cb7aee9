from django.db import migrations, models


class Migration(migrations.Migration):
    """Steps of items that carry risk flags, by urgency: the desk's filter, however many wait without any."""

    dependencies = [("workitems", "0013_saved_views")]

    operations = [
        migrations.AddField(
            model_name="decisionstep",
            name="is_flagged",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Whether its item carries risk flags, which never change.",
            ),
        ),
        migrations.AddIndex(
            model_name="decisionstep",
            index=models.Index(
                fields=["tenant", "urgent_at", "id"],
                condition=models.Q(status="pending", is_flagged=True),
                name="decisionstep_flagged_idx",
            ),
        ),
        migrations.RunSQL(
            "UPDATE workitems_decisionstep step SET is_flagged = true FROM workitems_workitem item "
            "WHERE item.tenant_id = step.tenant_id AND item.id = step.work_item_id AND cardinality(item.risk_flags) > 0",
            migrations.RunSQL.noop,
        ),
    ]
