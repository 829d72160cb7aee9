from django.urls import path

from integrations.api import deliveries, integration_tests, secrets, tools, versions, views

urlpatterns = [
    path("integrations", views.Integrations.as_view()),
    path("integrations/<str:integration_id>", views.IntegrationDetail.as_view()),
    path("integrations/<str:integration_id>/source", views.IntegrationSource.as_view()),
    path("integrations/<str:integration_id>/versions", versions.IntegrationVersions.as_view()),
    path(
        "integrations/<str:integration_id>/versions/<str:integration_version>",
        versions.IntegrationVersionDetail.as_view(),
    ),
    path("integrations/<str:integration_id>/health", views.HealthOfIntegration.as_view()),
    path("integrations/<str:integration_id>/test", integration_tests.TestIntegration.as_view()),
    path(
        "integrations/<str:integration_id>/tests/<str:integration_test_id>",
        integration_tests.IntegrationTestDetail.as_view(),
    ),
    path("integrations/<str:integration_id>/tools", tools.IntegrationTools.as_view()),
    path("integrations/<str:integration_id>/tools/read", tools.ReadTools.as_view()),
    path("integrations/<str:integration_id>/tools/accept", tools.AcceptTools.as_view()),
    path("secrets", secrets.Secrets.as_view()),
    path("secrets/<str:secret_id>", secrets.SecretDetail.as_view()),
    path("secrets/<str:secret_id>/remove", secrets.RemoveSecret.as_view()),
    path("telemetry/deliveries", deliveries.Deliveries.as_view()),
    path("telemetry/deliveries/<str:delivery_id>", deliveries.DeliveryDetail.as_view()),
    path("telemetry/deliveries/<str:delivery_id>/pause", deliveries.PauseDelivery.as_view()),
    path("telemetry/deliveries/<str:delivery_id>/resume", deliveries.ResumeDelivery.as_view()),
    path("telemetry/deliveries/<str:delivery_id>/test", deliveries.TestDelivery.as_view()),
    path("telemetry/deliveries/<str:delivery_id>/resend", deliveries.ResendDelivery.as_view()),
    path("telemetry/deliveries/<str:delivery_id>/attempts", deliveries.DeliveryAttempts.as_view()),
    path("telemetry/deliveries/<str:delivery_id>/remove", deliveries.RemoveDelivery.as_view()),
]
