"""Every address the instance answers. API at root paths without trailing slash; the console below /console/."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from workitems.portal import builder_sources  # noqa: F401 - form and actions for the workflow builder
from workitems.portal.short_addresses import to_home, to_request_form

admin.autodiscover()

urlpatterns = [
    path("console", RedirectView.as_view(url="/console/")),
    path("console/", admin.site.urls),
    path("", to_home),
    path("request/<str:slug>", to_request_form),
    path("request/<str:slug>/", to_request_form),
    path("", include("threada_site.api.urls")),
    path("", include("threada_site.identity.api.urls")),
    path("", include("workitems.api.urls")),
    path("", include("workitems.mcp.urls")),
    path("", include("policies.api.urls")),
    path("", include("integrations.api.urls")),
    path("", include("telemetry.api.urls")),
    path("", include("threada_site.scim.urls")),
]

handler400 = "threada_site.api.handlers.bad_request"
handler403 = "threada_site.api.handlers.forbidden"
handler404 = "threada_site.api.handlers.not_found"
handler500 = "threada_site.api.handlers.server_error"
