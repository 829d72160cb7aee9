"""Django REST framework and OpenAPI."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["threada_site.api.authentication.CredentialAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["threada_site.api.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["threada_site.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["threada_site.api.renderers.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "threada_site.api.negotiation.JSONNegotiation",
    "DEFAULT_SCHEMA_CLASS": "threada_site.api.schema.ThreadaSchema",
    "EXCEPTION_HANDLER": "threada_site.api.problems.handle_exception",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "URL_FORMAT_OVERRIDE": None,
    "FORMAT_SUFFIX_KWARG": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Threada",
    "DESCRIPTION": (
        "Requests for work become work items; versioned policies and people decide; approved actions run; "
        "receipts remain.\n\nEvery request names its tenant through its credential and, where a principal belongs to "
        "several tenants, the header `Threada-Tenant`. Errors are RFC 9457 problems with a stable `reason_code`."
    ),
    "VERSION": "0.2.0",
    "OAS_VERSION": "3.1.1",
    "LICENSE": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    "SORT_OPERATIONS": False,
    "POSTPROCESSING_HOOKS": [],
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "thr_…",
                "description": "A credential's token. Its tenant, its scopes and the roles of its principal bound it.",
            },
            "metrics": {
                "type": "http",
                "scheme": "bearer",
                "description": "The metrics token of the instance, which the operator has.",
            },
        }
    },
}
