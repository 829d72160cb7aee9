from django.urls import path
from django.views.generic import RedirectView

from threada_site.api import system
from threada_site.api.documentation import pages
from threada_site.api.documentation.guide import guide_page

urlpatterns = [
    path("me", system.Me.as_view()),
    path("healthz", system.Healthz.as_view()),
    path("readyz", system.Readyz.as_view()),
    path("metrics", system.Metrics.as_view()),
    path("openapi.json", pages.openapi_document),
    path("docs", pages.api_page),
    path("docs/reason-codes", pages.reason_codes_page),
    path("docs/guide", RedirectView.as_view(url="/docs/guide/")),
    path("docs/guide/", guide_page),
    path("docs/guide/<path:path>", guide_page),
]
