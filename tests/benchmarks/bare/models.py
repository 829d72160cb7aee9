from __future__ import annotations

from django.db import models


class BareItem(models.Model):
    workflow_id = models.CharField(max_length=63)
    channel_id = models.CharField(max_length=63)
    payload = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return str(self.pk)
