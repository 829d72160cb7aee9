from django.urls import path

from telemetry.api import sealed, views

urlpatterns = [
    path("telemetry/events", views.TelemetryEvents.as_view()),
    path("telemetry/exports", views.TelemetryExports.as_view()),
    path("telemetry/exports/<str:export_id>", views.TelemetryExportDetail.as_view()),
    path("telemetry/exports/<str:export_id>/download", views.DownloadTelemetryExport.as_view()),
    path("receipts/<str:receipt_id>", views.ReceiptDetail.as_view()),
    path("receipts/<str:receipt_id>/proof", sealed.ReceiptProof.as_view()),
    path("checkpoints", sealed.Checkpoints.as_view()),
]
