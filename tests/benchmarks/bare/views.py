from __future__ import annotations

from rest_framework import generics, serializers

from tests.benchmarks.bare.models import BareItem


class BareItemSerializer(serializers.ModelSerializer[BareItem]):
    class Meta:
        model = BareItem
        fields = ["id", "workflow_id", "channel_id", "payload", "created_at"]


class BareItems(generics.CreateAPIView[BareItem]):
    serializer_class = BareItemSerializer
    queryset = BareItem.objects.all()
