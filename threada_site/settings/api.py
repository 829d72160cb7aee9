"""Django REST framework and OpenAPI."""

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["threada_site.api.authentication.CredentialAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["threada_site.api.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["threada_site.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["threada_site.api.negotiation.JSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "threada_site.api.negotiation.JSONNegotiation",
    "DEFAULT_SCHEMA_CLASS": "threada_site.api.openapi.schema.ThreadaSchema",
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
    "PREPROCESSING_HOOKS": ["threada_site.api.viewsets.in_order"],  # DRF enumerates methods in the order of a set
    "POSTPROCESSING_HOOKS": [],
    "SERVERS": [{"url": "/", "description": "The instance that serves this document."}],
    "TAGS": [
        {"name": "Work items", "description": "Requests for work: create, change, find, explain, end."},
        {"name": "Decisions", "description": "Decision steps and votes of people; delegations."},
        {"name": "Conversation", "description": "Comments on work items, questions to the requester, watching."},
        {"name": "Attachments", "description": "Files of payloads and comments: upload, description, download."},
        {"name": "Executions", "description": "Approved actions that run against integrations; freezes and callbacks."},
        {"name": "Workflows", "description": "Kinds of work with their payload schemas."},
        {"name": "Channels", "description": "Ways in which requests arrive."},
        {"name": "Configuration", "description": "Configuration documents: plans, and their application."},
        {"name": "Packs", "description": "Bundles of workflows, channels and policies."},
        {"name": "Policies", "description": "Versioned rules: drafts, tests, replays, shadows, publication, overlays."},
        {"name": "Integrations", "description": "External systems, their actions, secrets and test calls."},
        {"name": "Telemetry", "description": "Receipts, proofs, checkpoints, events, figures, exports and deliveries."},
        {"name": "Change sets", "description": "Proposed changes that an independent person publishes."},
        {"name": "Principals", "description": "People, services and agents of a tenant, with roles and owners."},
        {"name": "Roles and groups", "description": "Sets of scopes; groups of people that rules ask for."},
        {"name": "Credentials", "description": "Tokens of services and agents."},
        {"name": "Retention", "description": "How long cases are kept, dry runs, and legal holds."},
        {"name": "Grants", "description": "Scopes of a person, service or agent on one object."},
        {"name": "Identity providers", "description": "Providers at which people sign in."},
        {"name": "Trusted issuers", "description": "Issuers whose tokens authenticate services and agents."},
        {"name": "Notifications", "description": "Messages that a person gets."},
        {"name": "System", "description": "The instance: health, metrics, documentation, the caller."},
    ],
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
