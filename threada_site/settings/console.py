"""Templates, static files, language and appearance of the console."""

from threada_site.settings.environment import BASE_DIR, TEMPLATE_DIR

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [TEMPLATE_DIR],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "/static/"
# Files are served from their packages and located once, when a web process starts: no collectstatic is needed.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
WHITENOISE_MAX_AGE = 600
# The language of texts in the code, of the API and of logs. Pages of the console are translated.
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "threada_site" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"
LOGIN_URL = "/console/login/"
LOGIN_REDIRECT_URL = "/console/"
CSRF_FAILURE_VIEW = "threada_site.console.failures.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

UNFOLD = {
    "SITE_TITLE": "Threada",
    "SITE_HEADER": "Threada",
    "SITE_URL": None,
    "SITE_ICON": "threada_site.console.unfold_config.logo",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": "threada_site.console.unfold_config.logo"},
        {"rel": "apple-touch-icon", "sizes": "192x192", "href": "threada_site.console.unfold_config.icon"},
        {"rel": "manifest", "href": "threada_site.console.unfold_config.manifest"},
    ],
    "SCRIPTS": ["threada_site.console.unfold_config.install_script"],
    "STYLES": ["threada_site.console.unfold_config.stylesheet"],
    "SITE_DROPDOWN": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "threada_site.console.unfold_config.tenant_label",
    "BORDER_RADIUS": "6px",
    "ACCOUNT": {"navigation": "threada_site.console.unfold_config.account_links"},
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "threada_site.console.navigation.sidebar",
    },
    "COLORS": {
        "primary": {
            "50": "oklch(97.1% .013 180)",
            "100": "oklch(94.2% .035 182)",
            "200": "oklch(89.4% .065 183)",
            "300": "oklch(82.2% .095 184)",
            "400": "oklch(72.6% .105 185)",
            "500": "oklch(62.3% .100 187)",
            "600": "oklch(52.2% .088 190)",
            "700": "oklch(44.2% .074 192)",
            "800": "oklch(37.2% .061 194)",
            "900": "oklch(31.8% .050 196)",
            "950": "oklch(22.5% .038 198)",
        }
    },
}

# Edits of configuration, shown by django-auditlog on the page of the edited object. The content of a version is not
# repeated there; its digest is.
AUDITLOG_INCLUDE_TRACKING_MODELS = [
    {"model": "policies.Channel", "include_fields": ["slug", "name"]},
    {"model": "policies.Workflow", "include_fields": ["slug", "name", "current_version"]},
    {"model": "policies.List", "include_fields": ["slug", "current_version"]},
    {"model": "policies.Policy", "include_fields": ["slug", "in_force"]},
    {"model": "policies.Pack", "include_fields": ["slug", "name", "current_version"]},
    {"model": "policies.PolicyVersion", "include_fields": ["number", "status", "document_sha256"]},
    {"model": "policies.Overlay", "include_fields": ["policy", "scope_kind", "scope_slug", "starts_at", "ends_at"]},
    {"model": "integrations.Integration", "include_fields": ["slug", "name", "connector", "current_version"]},
    {"model": "tenancy.Membership", "include_fields": ["user", "owner"]},
    {"model": "tenancy.Role", "include_fields": ["slug"]},
    {"model": "tenancy.Credential", "include_fields": ["user", "hint", "label", "scopes", "expires_at", "revoked_at"]},
]
AUDITLOG_USE_FK_STRING_REPRESENTATION = True
