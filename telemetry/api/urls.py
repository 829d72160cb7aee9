from django.urls import path

from telemetry.api import exports, proofs, summary, usage, verifier, views
from threada_site.api.viewsets import TenantRouter

router = TenantRouter()
router.register("telemetry/exports", exports.ExportViewSet)

urlpatterns = [
    *router.urls,
    path("telemetry/events", views.TelemetryEvents.as_view()),
    path("telemetry/summary", summary.TelemetrySummary.as_view()),
    path("telemetry/verifier", verifier.Verifier.as_view()),
    path("usage", usage.Usage.as_view()),
    path("receipts/<str:receipt_id>", views.ReceiptDetail.as_view()),
    path("receipts/<str:receipt_id>/proof", proofs.ReceiptProof.as_view()),
    path("checkpoints", proofs.Checkpoints.as_view()),
    path("checkpoints/instance", proofs.InstanceLog.as_view()),
]
