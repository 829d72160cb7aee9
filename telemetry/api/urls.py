from django.urls import path

from telemetry.api import evidence, exports, proofs, summary, usage, views

urlpatterns = [
    path("telemetry/events", views.TelemetryEvents.as_view()),
    path("telemetry/summary", summary.TelemetrySummary.as_view()),
    path("telemetry/exports", exports.TelemetryExports.as_view()),
    path("telemetry/exports/<str:export_id>", exports.TelemetryExportDetail.as_view()),
    path("telemetry/exports/<str:export_id>/cancel", exports.CancelTelemetryExport.as_view()),
    path("telemetry/exports/<str:export_id>/retry", exports.RetryTelemetryExport.as_view()),
    path("telemetry/exports/<str:export_id>/download", exports.DownloadTelemetryExport.as_view()),
    path("telemetry/exports/<str:export_id>/evidence", evidence.ExportEvidence.as_view()),
    path("telemetry/verifier", evidence.Verifier.as_view()),
    path("usage", usage.Usage.as_view()),
    path("receipts/<str:receipt_id>", views.ReceiptDetail.as_view()),
    path("receipts/<str:receipt_id>/proof", proofs.ReceiptProof.as_view()),
    path("checkpoints", proofs.Checkpoints.as_view()),
    path("checkpoints/instance", proofs.InstanceLog.as_view()),
]
