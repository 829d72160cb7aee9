from django.urls import path

from integrations.api import views

urlpatterns = [
    path("integrations", views.Integrations.as_view()),
    path("integrations/<str:integration_id>", views.IntegrationDetail.as_view()),
    path("integrations/<str:integration_id>/test", views.TestIntegration.as_view()),
]
