"""Threada's own settings."""

from pathlib import Path

from threada_site.settings.environment import BASE_DIR, DATA_DIR, flag, number, numbers, text, words

THREADA_DATA_DIR = DATA_DIR
# Signed checkpoints outside of the database. On other machines than that of the sealer there are none.
THREADA_ANCHOR_DIR = Path(text("THREADA_ANCHOR_DIR") or DATA_DIR / "checkpoints")
THREADA_BASE_DIR = BASE_DIR
THREADA_VERSION = "0.2.0"
# CIDRs of private or loopback networks that integrations may call. Other addresses must be globally routable.
THREADA_EGRESS_ALLOW = words("THREADA_EGRESS_ALLOW")
# Resolvers (`192.0.2.1:53`, one port for all) that read TXT records of mail domains, instead of those of the system.
THREADA_DNS_SERVERS = words("THREADA_DNS_SERVERS")
# Secret references that tenants may use in API and console, each with the origin that it may be sent to:
# `acme/env:NAME@https://host`, `acme/file:/path@https://host/prefix` for one tenant, without the tenant for all.
THREADA_SECRET_REFS = words("THREADA_SECRET_REFS")
# Origins that secrets may be sent to over plain http, in addition to loopback addresses in THREADA_EGRESS_ALLOW.
THREADA_PLAIN_SECRET_ORIGINS = words("THREADA_PLAIN_SECRET_ORIGINS")
# Hours for which an idempotency key is stored.
THREADA_IDEMPOTENCY_HOURS = number("THREADA_IDEMPOTENCY_HOURS", 24)
# Backups: the public recovery key that keys are encrypted to, and a login that sees the rows of all tenants.
THREADA_BACKUP_RECOVERY_KEY = text("THREADA_BACKUP_RECOVERY_KEY")
THREADA_BACKUP_DATABASE_URL = text("THREADA_BACKUP_DATABASE_URL")
# Scheduled backups: their folder (none without it), the hours between two, and how many are kept.
THREADA_BACKUP_DIR = Path(text("THREADA_BACKUP_DIR")).absolute() if text("THREADA_BACKUP_DIR") else None
THREADA_BACKUP_HOURS = number("THREADA_BACKUP_HOURS", 24)
THREADA_BACKUP_KEEP = number("THREADA_BACKUP_KEEP", 7)
# Longest time window of one telemetry request, in days.
THREADA_TELEMETRY_WINDOW_DAYS = number("THREADA_TELEMETRY_WINDOW_DAYS", 31)
# Folder of export files, shared by all hosts, and the hours for which they are kept.
THREADA_EXPORT_DIR = Path(text("THREADA_EXPORT_DIR") or DATA_DIR / "exports").absolute()
THREADA_EXPORT_HOURS = number("THREADA_EXPORT_HOURS", 168)
# Folder of continuous deliveries to files, and the failed attempts after which a delivery pauses itself.
THREADA_DELIVERY_DIR = Path(text("THREADA_DELIVERY_DIR") or DATA_DIR / "deliveries").absolute()
THREADA_DELIVERY_TRIES = number("THREADA_DELIVERY_TRIES", 12)
# Largest request body, in bytes. A workflow limits its payloads (default 256 KB).
THREADA_MAX_BODY_BYTES = number("THREADA_MAX_BODY_BYTES", 1_048_576)
# Largest body of a request that carries a document, in bytes: a workflow, a policy, an integration. Also the limit of
# Django for forms, of which the console's editors send documents.
THREADA_MAX_DOCUMENT_BYTES = number("THREADA_MAX_DOCUMENT_BYTES", 4_194_304)
DATA_UPLOAD_MAX_MEMORY_SIZE = max(THREADA_MAX_BODY_BYTES, THREADA_MAX_DOCUMENT_BYTES)
# Attachments: the largest file in bytes, and the media types that are accepted (default: all known ones).
THREADA_MAX_ATTACHMENT_BYTES = number("THREADA_MAX_ATTACHMENT_BYTES", 10_485_760)
THREADA_ATTACHMENT_TYPES = words("THREADA_ATTACHMENT_TYPES")
# Requests per second of one credential, of one account in the console and of one tenant, and failed authentications per
# second of one address; 0: no limit, `off`: none at all. A bucket holds the requests of so many seconds.
_rate_limits = {"credential": 100, "account": 20, "tenant": 200, "address": 10}
THREADA_RATE_LIMITS = (
    dict.fromkeys(_rate_limits, 0)
    if text("THREADA_RATE_LIMITS").lower() == "off"
    else numbers("THREADA_RATE_LIMITS", _rate_limits, least=0)
)
THREADA_RATE_BURST_SECONDS = number("THREADA_RATE_BURST_SECONDS", 5)
# Executions of one tenant in the queue at the same time; further ones wait in their rows.
THREADA_TENANT_QUOTA = number("THREADA_TENANT_QUOTA", 64)
# Evaluators of one process (simulations, rule tests, replays, shadows), and for each the processor time of one
# evaluation in milliseconds, and its memory.
THREADA_EVALUATORS = number("THREADA_EVALUATORS", 2)
THREADA_EVALUATOR_CPU_MS = number("THREADA_EVALUATOR_CPU_MS", 1000)
THREADA_EVALUATOR_MEMORY_MB = number("THREADA_EVALUATOR_MEMORY_MB", 512)
# Quotas of each tenant, unless the operator sets others for it (`manage.py quota`).
THREADA_QUOTAS = numbers(
    "THREADA_QUOTAS",
    {
        "open_work_items": 200_000,
        "policy_drafts": 1_000,
        "exports": 500,
        "deliveries": 20,
        "running_replays": 20,
        "trusted_issuers": 50,
        "exchanged_tokens": 1_000,
        "provisioned_people": 50_000,
        "provisioned_groups": 5_000,
        "stored_bytes": 100_000_000_000,
    },
)
# Functions that return the rows that a quota counts, and what stored bytes are, by name, because applications are above
# tenancy.
THREADA_QUOTA_ROWS = {
    "open_work_items": "workitems.selectors.open_items",
    "policy_drafts": "policies.selectors.drafts",
    "exports": "telemetry.selectors.kept_exports",
    "deliveries": "telemetry.selectors.kept_deliveries",
    "running_replays": "policies.selectors.running_replays",
    "trusted_issuers": "threada_site.identity.trusted_issuers.selectors.trusted_issuers",
    "exchanged_tokens": "threada_site.identity.trusted_issuers.selectors.live_exchanged_tokens",
    "provisioned_people": "threada_site.identity.selectors.provisioned_people",
    "provisioned_groups": "threada_site.identity.selectors.provisioned_groups",
}
THREADA_STORED_COLUMNS = {
    "workitems.WorkItem": "payload",
    "workitems.Evidence": "content",
    "workitems.CommentVersion": "text",
    "workitems.RequesterQuestion": "text",
    "workitems.RequestDraft": "entered",
    "integrations.Envelope": "body",
    "integrations.IntegrationVersion": "spec",
    "policies.WorkflowVersion": "spec",
    "policies.ListVersion": "spec",
    "policies.PolicyVersion": "document",
}
THREADA_STORED_FILES = ["telemetry.selectors.export_bytes", "workitems.attachments.selectors.stored_bytes"]
# Concurrent executions of one worker.
THREADA_WORKER_CONCURRENCY = number("THREADA_WORKER_CONCURRENCY", 4)
# Calls that one worker process makes at the same time for sets of executions, besides those of its own threads.
THREADA_CALL_SLOTS = number("THREADA_CALL_SLOTS", 32)
# Engine that runs jobs: `procrastinate`, inside PostgreSQL, or `celery`, with the RabbitMQ of the URL. Instances that
# share a broker need different prefixes for their queue names.
THREADA_ENGINE = text("THREADA_ENGINE") or "procrastinate"
THREADA_BROKER_URL = text("THREADA_BROKER_URL")
THREADA_BROKER_PREFIX = text("THREADA_BROKER_PREFIX") or "threada"
# Function that records refusals, by name, because the API layer must not import the ledger above it.
THREADA_REFUSAL_HANDLER = "telemetry.receipts.refusals.record_refusal"
# Function that counts refusals and says which get no receipt of their own, by name for the same reason.
THREADA_REFUSAL_COUNTER = "telemetry.receipts.refusals.is_beyond_rate"
# Receipts of refused requests per minute, process, sender and reason; further refusals are counted in one receipt.
THREADA_REFUSAL_RECEIPTS = number("THREADA_REFUSAL_RECEIPTS", 10)
# Function that stores proposed changes, by name, because identity is above the API layer.
THREADA_CHANGE_SET_HANDLER = "threada_site.identity.change_sets.propose.propose"
# Function that ends what somebody who is no longer a member held, by name, because work items are above identity.
THREADA_DEPARTURE_HANDLER = "workitems.permits.departures.end_power_of"
# Function that returns the actions of the workflows that a context may read, because integrations do not know policies.
THREADA_READABLE_ACTIONS = "policies.selectors.readable_actions"
THREADA_ALLOWED_ACTIONS = "policies.selectors.allowed_actions"
# Function that records who reads a work item of a sensitive data class, because policies do not know work items.
THREADA_CASE_READING_HANDLER = "workitems.items.sensitive.record_reading_of"
# Function that returns the titles of work items, for the same reason.
THREADA_CASE_TITLES_HANDLER = "workitems.items.titles.listed_titles"
# Function that authenticates by a token of a trusted issuer, by name, because identity is above the API layer.
THREADA_WORKLOAD_HANDLER = "threada_site.identity.trusted_issuers.authenticate.authenticate_workload"
# Audiences of trusted issuers besides those below the public URL and the tenant, for one tenant each:
# `TENANT=AUDIENCE`.
THREADA_WORKLOAD_AUDIENCES = words("THREADA_WORKLOAD_AUDIENCES")
# Live tokens of one principal that were exchanged for tokens of trusted issuers.
THREADA_EXCHANGED_TOKENS = number("THREADA_EXCHANGED_TOKENS", 100)
# Function that returns the public keys of receipts that are not retired, by name for the same reason.
THREADA_CURRENT_RECEIPT_KEYS = "telemetry.receipts.signing.current_public_keys"
# Function that returns why the web cannot sign receipts, by name for the same reason.
THREADA_WEB_SIGNING_PROBLEM = "telemetry.receipts.signing.web_signing_problem"
# Function that records the first use of a credential from a network, by name for the same reason.
THREADA_NEW_NETWORK_HANDLER = "telemetry.receipts.networks.record_new_network"
# Seconds between the notice to all stewards and the effect of an emergency publication, and the hours after the end of
# one until the next of the same policy.
THREADA_EMERGENCY_NOTICE_SECONDS = number("THREADA_EMERGENCY_NOTICE_SECONDS", 60)
THREADA_EMERGENCY_COOLDOWN_HOURS = number("THREADA_EMERGENCY_COOLDOWN_HOURS", 24)
# How many decision steps one batch may decide together (200 at most), by the risk of the riskiest: `high` with any risk
# flag, `elevated` for these data classes, `low` else.
THREADA_BATCH_CAPS = numbers("THREADA_BATCH_CAPS", {"low": 50, "elevated": 20, "high": 5})
THREADA_SENSITIVE_DATA_CLASSES = words("THREADA_SENSITIVE_DATA_CLASSES", "confidential restricted secret personal")
# New tenants require a second factor of stewards and approvers. `manage.py require_mfa` changes one tenant.
THREADA_REQUIRE_MFA = flag("THREADA_REQUIRE_MFA", default=True)
# Integrations of the connector `mock`, which simulates calls. Off: their documents and executions are refused.
THREADA_MOCK_CONNECTOR = flag("THREADA_MOCK_CONNECTOR", default=True)
# Optional parts of sealing (docs/operations/sealing.md), off by default: the log of all tenants' checkpoints, and
# signed promises in answers.
THREADA_INSTANCE_LOG = flag("THREADA_INSTANCE_LOG")
THREADA_INCLUSION_PROMISES = flag("THREADA_INCLUSION_PROMISES")
# OTLP/HTTP endpoint for spans; without it nothing is traced.
THREADA_OTLP_ENDPOINT = text("THREADA_OTLP_ENDPOINT") or text("OTEL_EXPORTER_OTLP_ENDPOINT")
THREADA_PUBLIC_URL = text("THREADA_PUBLIC_URL")
# Web server processes started by `up`.
THREADA_WEB_PROCESSES = number("THREADA_WEB_PROCESSES", 2)
# Collectors of `/metrics`; each layer has its own.
THREADA_METRICS_COLLECTORS = [
    "threada_site.jobs.metrics.queue_metrics",
    "threada_site.database.replicas.replica_metrics",
    "threada_site.database.server_metrics.connection_metrics",
    "threada_site.tenancy.rate_limits.refusal_metrics",
    "telemetry.metrics.seal_metrics",
    "threada_site.database.partitioning.month_metrics",
    "telemetry.deliveries.metrics.delivery_metrics",
    "integrations.metrics.execution_metrics",
    "integrations.metrics.ended_metrics",
    "integrations.metrics.call_metrics",
    "integrations.metrics.gauge_metrics",
    "policies.metrics.emergency_metrics",
    "policies.metrics.evaluator_metrics",
    "workitems.metrics.step_metrics",
    "workitems.metrics.drift_metrics",
    "workitems.metrics.notice_metrics",
    "threada_site.tenancy.quotas.metrics.quota_metrics",
    "threada_site.runtime.backup.age.backup_metrics",
]
# The web process is ready once this file exists; without a name it does not wait.
THREADA_READY_FILE = text("THREADA_READY_FILE")
# The web server creates this file when asked to stop: it reports not ready then and keeps serving for a while.
THREADA_STOPPING_FILE = text("THREADA_STOPPING_FILE")
# Seconds of that while, in which a load balancer has to notice. For `up` the default is one second.
THREADA_DRAIN_SECONDS = number("THREADA_DRAIN_SECONDS", 5)
THREADA_DRAIN_SECONDS_OF_UP = number("THREADA_DRAIN_SECONDS", 1)
# Hours between a dry run and the automatic run that acts on it.
THREADA_RETENTION_NOTICE_HOURS = number("THREADA_RETENTION_NOTICE_HOURS", 24)
# Days from the confirmation of a tenant's deletion until the operator can carry it out; at least 1.
THREADA_TENANT_DELETION_DAYS = max(number("THREADA_TENANT_DELETION_DAYS", 7), 1)
# Folder for `then: archive`. Without it, such rules remove nothing from the database.
THREADA_ARCHIVE_DIR = text("THREADA_ARCHIVE_DIR")
# Or an fsspec address, a JSON file with its options, and the folder in which archives are created before they are sent.
THREADA_ARCHIVE_URL = text("THREADA_ARCHIVE_URL")
THREADA_ARCHIVE_OPTIONS_FILE = text("THREADA_ARCHIVE_OPTIONS_FILE")
THREADA_ARCHIVE_SPOOL_DIR = Path(text("THREADA_ARCHIVE_SPOOL_DIR") or DATA_DIR / "archiving").absolute()
