from django.urls import path

from threada_site.api import documentation, system

urlpatterns = [
    path("me", system.Me.as_view()),
    path("healthz", system.Healthz.as_view()),
    path("readyz", system.Readyz.as_view()),
    path("metrics", system.Metrics.as_view()),
    path("openapi.json", documentation.openapi_document),
    path("docs", documentation.api_page),
    path("docs/reason-codes", documentation.reason_codes_page),
]
