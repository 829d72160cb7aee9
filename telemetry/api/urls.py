from django.urls import path

from telemetry.api import exports, receipts, summary, usage, verifier
from threada_site.api.viewsets import TenantRouter

router = TenantRouter()
router.register("telemetry/exports", exports.ExportViewSet)
router.register("telemetry/events", receipts.EventViewSet)
router.register("receipts", receipts.ReceiptViewSet)
router.register("checkpoints", receipts.CheckpointViewSet)

urlpatterns = [
    *router.urls,
    path("telemetry/summary", summary.TelemetrySummary.as_view()),
    path("telemetry/verifier", verifier.Verifier.as_view()),
    path("usage", usage.Usage.as_view()),
]
