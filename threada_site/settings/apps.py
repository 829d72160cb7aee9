"""Installed apps and the order of middleware."""

INSTALLED_APPS = [
    # The apps of the composition root come first: their templates and commands take precedence.
    "threada_site.console",
    "threada_site.runtime",
    "threada_site.identity",
    "threada_site.api",
    "threada_site.tenancy",
    "unfold.apps.BasicAppConfig",  # its default configuration would replace our admin site
    "threada_site.console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_ace",
    "guardian",
    "auditlog",
    "django_structlog",
    "procrastinate.contrib.django",
    "workitems",
    "policies",
    "integrations",
    "telemetry",
]

MIDDLEWARE = [
    "threada_site.api.monitoring.http_metrics.measured",
    "threada_site.api.middleware.correlation",
    "threada_site.console.policies.response_policies",
    "threada_site.api.middleware.known_host",
    "threada_site.api.cross_origin.cross_origin",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "threada_site.console.middleware.ConsoleMiddleware",
]

PROCRASTINATE_AUTODISCOVER_MODULE_NAME = ""  # workers load the tasks (`threada_site.jobs.registry`), commands do not

ROOT_URLCONF = "threada_site.urls"
WSGI_APPLICATION = "threada_site.wsgi.application"
ASGI_APPLICATION = "threada_site.asgi.application"
APPEND_SLASH = False
