"""Threada's own settings."""

from pathlib import Path

from threada_site.settings.environment import BASE_DIR, DATA_DIR, number, numbers, text, words

THREADA_DATA_DIR = DATA_DIR
THREADA_BASE_DIR = BASE_DIR
THREADA_VERSION = "0.1.0"
# CIDRs of private or loopback networks that integrations may call; everything not globally routable is refused else.
THREADA_EGRESS_ALLOW = words("THREADA_EGRESS_ALLOW")
# Secret references that a tenant may name through API and console: `acme/env:NAME`, `acme/file:/path` for one tenant,
# without the tenant for all.
THREADA_SECRET_REFS = words("THREADA_SECRET_REFS")
# How long an idempotency key is remembered, in hours.
THREADA_IDEMPOTENCY_HOURS = number("THREADA_IDEMPOTENCY_HOURS", 24)
# The largest telemetry window that one request may ask for, in days.
THREADA_TELEMETRY_WINDOW_DAYS = number("THREADA_TELEMETRY_WINDOW_DAYS", 31)
# Where the files of exports are kept; one folder that all hosts share, where there are several. And for how many hours.
THREADA_EXPORT_DIR = Path(text("THREADA_EXPORT_DIR") or DATA_DIR / "exports").absolute()
THREADA_EXPORT_HOURS = number("THREADA_EXPORT_HOURS", 168)
# Where continuous deliveries to files go. And after how many failed tries a delivery pauses itself.
THREADA_DELIVERY_DIR = Path(text("THREADA_DELIVERY_DIR") or DATA_DIR / "deliveries").absolute()
THREADA_DELIVERY_TRIES = number("THREADA_DELIVERY_TRIES", 12)
# The largest request body, in bytes; payloads themselves are bounded by their workflow (256 KB unless it says
# otherwise).
THREADA_MAX_BODY_BYTES = number("THREADA_MAX_BODY_BYTES", 1_048_576)
# Executions of one tenant in the queue at once; the others wait in their rows.
THREADA_TENANT_QUOTA = number("THREADA_TENANT_QUOTA", 64)
# Executions that one worker process runs side by side.
THREADA_WORKER_CONCURRENCY = number("THREADA_WORKER_CONCURRENCY", 4)
# What runs jobs: `procrastinate`, inside PostgreSQL, or `celery`, on the RabbitMQ of the URL; and what begins the names
# of the queues there, where several instances share a broker.
THREADA_ENGINE = text("THREADA_ENGINE") or "procrastinate"
THREADA_BROKER_URL = text("THREADA_BROKER_URL")
THREADA_BROKER_PREFIX = text("THREADA_BROKER_PREFIX") or "threada"
# Who records refusals: the API layer must not import the ledger above it.
THREADA_REFUSAL_HANDLER = "telemetry.services.refusals.record_refusal"
# How many decision steps one batch may decide together (200 at most), by the risk of the riskiest: `high` with any risk
# flag, `elevated` for these data classes, `low` else.
THREADA_BATCH_CAPS = numbers("THREADA_BATCH_CAPS", {"low": 50, "elevated": 20, "high": 5})
THREADA_SENSITIVE_DATA_CLASSES = words("THREADA_SENSITIVE_DATA_CLASSES", "confidential restricted secret personal")
# Where spans go, by OTLP over HTTP; without one nothing is traced.
THREADA_OTLP_ENDPOINT = text("THREADA_OTLP_ENDPOINT") or text("OTEL_EXPORTER_OTLP_ENDPOINT")
THREADA_PUBLIC_URL = text("THREADA_PUBLIC_URL")
# Web server processes that `up` runs.
THREADA_WEB_PROCESSES = number("THREADA_WEB_PROCESSES", 2)
# Collectors of `/metrics`; each layer has its own.
THREADA_METRICS_COLLECTORS = [
    "threada_site.jobs.metrics.queue_metrics",
    "threada_site.database.replicas.replica_metrics",
    "telemetry.metrics.seal_metrics",
    "threada_site.database.partitioning.month_metrics",
    "telemetry.delivery_metrics.delivery_metrics",
    "integrations.metrics.execution_metrics",
    "integrations.metrics.ended_metrics",
    "integrations.metrics.call_metrics",
    "integrations.metrics.gauge_metrics",
    "policies.metrics.emergency_metrics",
    "workitems.metrics.step_metrics",
    "workitems.metrics.notice_metrics",
]
# The web process is ready once this file exists; without a name it need not wait for one.
THREADA_READY_FILE = text("THREADA_READY_FILE")
# Its server makes this file once it is asked to stop: from then on it is not ready, and still serves for a while.
THREADA_STOPPING_FILE = text("THREADA_STOPPING_FILE")
# For how long, in seconds: a balancer has to notice. `up` waits a second unless told otherwise.
THREADA_DRAIN_SECONDS = number("THREADA_DRAIN_SECONDS", 5)
THREADA_DRAIN_SECONDS_OF_UP = number("THREADA_DRAIN_SECONDS", 1)
# How long a dry run stands before the automatic run acts on it, in hours.
THREADA_RETENTION_NOTICE_HOURS = number("THREADA_RETENTION_NOTICE_HOURS", 24)
# Where `then: archive` puts what it takes out of the database; without one, such rules remove nothing.
THREADA_ARCHIVE_DIR = text("THREADA_ARCHIVE_DIR")
# Or an address that fsspec knows, a JSON file with its options, and where archives are made before they are sent there.
THREADA_ARCHIVE_URL = text("THREADA_ARCHIVE_URL")
THREADA_ARCHIVE_OPTIONS_FILE = text("THREADA_ARCHIVE_OPTIONS_FILE")
THREADA_ARCHIVE_SPOOL_DIR = Path(text("THREADA_ARCHIVE_SPOOL_DIR") or DATA_DIR / "archiving").absolute()
