"""What is installed, and in which order requests pass it."""

INSTALLED_APPS = [
    # The composition root's apps come first: their templates and commands win.
    "threada_site.console",
    "threada_site.runtime",
    "threada_site.identity",
    "threada_site.api",
    "threada_site.tenancy",
    "unfold.apps.BasicAppConfig",  # its default one would put its own site in the place of ours
    "threada_site.console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
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
    "threada_site.api.middleware.correlation",
    "threada_site.console.policies.response_policies",
    "threada_site.api.middleware.known_host",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "threada_site.console.middleware.ConsoleMiddleware",
]

ROOT_URLCONF = "threada_site.urls"
WSGI_APPLICATION = "threada_site.wsgi.application"
ASGI_APPLICATION = "threada_site.asgi.application"
APPEND_SLASH = False
