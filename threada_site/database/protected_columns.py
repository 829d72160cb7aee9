"""Columns and tables that no web request updates. The web's login may not update them.

SQL that is injected into a request, or a bug in one, so changes neither who somebody is, nor who did what, nor what was
sealed. All other processes use another login, which may. Where one login serves all processes, nothing is protected.

Nor does it insert rows that count as the operator's, because nobody is named in them (`OPERATOR_ROWS`).

To protect a column of a new table, add it to `PROTECTED_COLUMNS`. To protect rows from deletes, add their table to
`KEPT_TABLES`; to protect a whole table from inserts, updates and deletes, add it to `PLATFORM_TABLES`. `manage.py
migrate` applies them. In tests, requests run with the rights of the web's login, so a request that updates a protected
column fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps

from threada_site.database.role_names import APP, PLATFORM

PLATFORM_TABLES: Final = (
    "auth_permission",
    "django_content_type",
    "django_migrations",
    "telemetry_checkpoint",
    "telemetry_checkpointtarget",
    "telemetry_inclusionpromisekey",
    "telemetry_instancealarm",
    "telemetry_instancecheckpoint",
    "telemetry_instanceentry",
    "telemetry_instancenode",
    "telemetry_logalarm",
    "telemetry_logleaf",
    "telemetry_lognode",
    "telemetry_quarantinecount",
    "telemetry_quarantinedreceipt",
    "telemetry_receiptkeynote",
    "tenancy_deletedtenant",
    "tenancy_instance",
    "tenancy_lastbackup",
    "tenancy_schemamigration",
    "tenancy_signindomain",
    "tenancy_storedmetrics",
    "tenancy_tenantquota",
    "workitems_searchdocument",
)
KEPT_TABLES: Final = ("workitems_permit", "workitems_permituse")
"""Tables from which no web request deletes rows, so that no use of a permit is forgotten."""
PROTECTED_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "integrations_execution": (
        "action", "channel", "created_at", "idempotency_key", "integration", "is_timed_undo",
        "requested_by", "undoes_id", "work_item_id", "workflow",
    ),
    "integrations_freeze": ("action", "integration", "principal", "principal_id", "set_at", "set_by", "workflow"),
    "integrations_integrationtest": (
        "checks", "created_at", "failure", "failure_detail", "finished_at", "integration_id",
        "integration_version_id", "lease_until", "requested_by", "started_at", "status",
    ),
    "integrations_accesstoken": (
        "claim", "claimed_until", "expires_at", "fingerprint", "integration_version_id", "problem", "refresh_at",
        "requested_at", "token",
    ),
    "integrations_proposedsecret": ("change_set_id", "created_at", "fingerprint", "slug", "token"),
    "integrations_storedsecret": ("created_at", "created_by", "slug"),
    "integrations_tool": ("found", "found_at", "found_sha256", "integration_id", "name"),
    "integrations_toollist": (
        "base_url", "failures", "integration_id", "integration_version_id", "problem", "read_at", "tried_at",
    ),
    "policies_emergencypublication": ("policy_id", "published_at", "published_by", "takes_effect_at", "version_id"),
    "policies_policyversion": ("created_at", "number", "policy_id"),
    "telemetry_refusalcount": (
        "count", "credential_id", "first_at", "interval", "last_at", "principal_id", "reason_code",
    ),
    "tenancy_accessreview": ("entry_count", "sha256", "started_at", "started_by"),
    "tenancy_accessreviewentry": ("holds", "review_id", "user_id"),
    "tenancy_accountdependence": ("created_at", "depends_on_id", "reason", "user_id"),
    "tenancy_accountlink": ("created_at", "created_by", "expires_at", "purpose", "user_id"),
    "tenancy_changeset": ("after", "before", "digest", "operation", "proposed_at", "proposed_by", "rule"),
    "tenancy_consolesession": ("key_sha256",),
    "tenancy_credential": (
        "created_at", "expires_at", "hint", "issued_by", "roles", "scopes", "session_factors", "subject_token_sha256",
        "token_sha256", "trusted_issuer_version_id", "user_id",
    ),
    "tenancy_enrolledfactor": ("created_at", "key_id", "kind", "secret", "user_id"),
    "tenancy_grantrecord": ("kind", "name", "source", "user_id"),
    "tenancy_identitylink": ("created_at", "provider_id", "subject", "user_id"),
    "tenancy_identityprovider": ("created_at", "slug"),
    "tenancy_membership": ("added_by", "created_at", "user_id"),
    "tenancy_passkey": ("credential_id", "data", "is_synced", "rp_id", "transports", "user_handle"),
    "tenancy_provisionedgroup": ("created_at", "group_id"),
    "tenancy_provisionedgroupmember": ("group_id", "person_id"),
    "tenancy_provisionedperson": ("created_at", "user_id"),
    "tenancy_recoverycode": ("code_sha256", "created_at", "user_id"),
    "tenancy_rolescoperecord": ("role", "scope"),
    "tenancy_tenant": ("browser_origins", "created_at", "is_active", "require_mfa", "slug"),
    "tenancy_tenantdeletion": ("change_set_id", "confirmed_at", "confirmed_by", "due_at", "requested_by"),
    "tenancy_trustedissuer": (
        "created_at", "keys", "keys_due_at", "keys_failures", "keys_fetched_at", "keys_problem", "keys_source",
        "keys_tried_at", "keys_tried_source",
    ),
    "tenancy_user": ("created_at", "home_tenant_id", "is_superuser", "kind", "username"),
    "workitems_attachment": ("created_at", "media_type", "sha256", "size", "uploaded_by_id"),
    "workitems_comment": ("audience", "author_id", "author_kind", "created_at", "hidden_from", "work_item_id"),
    "workitems_decisionstep": ("execution_id", "kind", "opened_at", "work_item_id"),
    "workitems_delegation": ("created_by", "delegate_id", "delegator_id"),
    "workitems_legalhold": ("set_at", "set_by", "work_item_id"),
    "workitems_permit": (
        "action", "body", "escalated_to", "grants_as_of", "integration", "proposed_at", "proposed_by_id", "rule",
        "sha256", "step_id", "work_item_id", "workflow", "workflow_id",
    ),
    "workitems_permituse": ("amount", "execution_id", "permit_id", "policy_decision_id", "reserved_at", "work_item_id"),
    "workitems_proofrun": ("created_at", "document", "finished_at", "requested_by", "sha256", "started_at"),
    "workitems_requestdraft": ("membership_id", "workflow"),
    "workitems_requesterquestion": (
        "asked_by_id", "asked_version", "created_at", "expires_at", "pauses", "step_id", "text", "text_salt",
        "work_item_id",
    ),
    "workitems_storedfile": ("created_at", "path", "size"),
    "workitems_watch": ("created_at", "principal_id", "work_item_id"),
    "workitems_workitem": (
        "channel", "created_at", "requester_id", "submitted_by_id", "subject_id", "workflow", "workflow_version_id",
    ),
}  # fmt: skip

OPERATOR_ROWS: Final = {
    "integrations_integrationversion": "created_by",
    "tenancy_credential": "issued_by",
    "tenancy_identityproviderversion": "created_by",
    "tenancy_trustedissuerversion": "created_by",
}
"""Columns that are empty in rows of the operator.

A version of an integration or identity provider of the operator names any variable or file of the server. A credential
or a trusted issuer of the operator says that no member of the tenant controls the agent.
"""
OPERATOR_ROWS_POLICY: Final = "operator_rows"


def protected_columns(connection: Any) -> dict[str, set[str]]:
    """Return the protected columns of each table: those above, every primary key and every `tenant_id`."""
    found = {table: set(columns) for table, columns in PROTECTED_COLUMNS.items()}
    for model in apps.get_models(include_auto_created=True):
        if not model._meta.managed or model._meta.proxy:
            continue
        fields = [field for field in model._meta.local_concrete_fields if field.column]
        keys = {str(field.column) for field in fields if field.primary_key or field.column == "tenant_id"}
        found.setdefault(model._meta.db_table, set()).update(keys)
    present = set(connection.introspection.table_names())
    return {table: columns for table, columns in found.items() if table in present and table not in PLATFORM_TABLES}


def is_web_apart(connection: Any) -> bool:
    """Return True if the web's login may not take the platform role, so that protecting columns has an effect."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_has_role(%s, %s, 'MEMBER')", [APP, PLATFORM])
        return not cursor.fetchone()[0]


def column_problems(connection: Any) -> Iterator[str]:
    """Yield what the web's login may change of protected columns and tables, and where it may pass as the operator."""
    if not is_web_apart(connection):
        return
    columns = [(table, name) for table, names in protected_columns(connection).items() for name in names]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT wanted.table_name || '.' || wanted.column_name
              FROM unnest(%(tables)s::text[], %(columns)s::text[]) AS wanted(table_name, column_name)
             WHERE has_column_privilege(%(web)s, quote_ident(wanted.table_name), wanted.column_name, 'UPDATE')
             UNION ALL
            SELECT wanted.table_name FROM unnest(%(whole)s::text[]) AS wanted(table_name)
             WHERE has_table_privilege(%(web)s, to_regclass(quote_ident(wanted.table_name)), 'INSERT, UPDATE, DELETE')
             UNION ALL
            SELECT wanted.table_name FROM unnest(%(kept)s::text[]) AS wanted(table_name)
             WHERE has_table_privilege(%(web)s, to_regclass(quote_ident(wanted.table_name)), 'DELETE')
             ORDER BY 1
            """,
            {
                "tables": [table for table, _ in columns],
                "columns": [name for _, name in columns],
                "whole": list(PLATFORM_TABLES),
                "kept": list(KEPT_TABLES),
                "web": APP,
            },
        )
        found = [name for (name,) in cursor.fetchall()]
    if found:
        yield f"the web's login may change {', '.join(found)}; run manage.py migrate"
    yield from _operator_row_problems(connection)


def _operator_row_problems(connection: Any) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT name FROM unnest(%s::text[]) AS wanted(name)
             WHERE NOT EXISTS (SELECT FROM pg_policy
                                WHERE polrelid = to_regclass(quote_ident(name)) AND polname = %s AND NOT polpermissive)
             ORDER BY 1
            """,
            [list(OPERATOR_ROWS), OPERATOR_ROWS_POLICY],
        )
        for (name,) in cursor.fetchall():
            yield f"the web's login may insert rows of the operator into {name}; run manage.py migrate"
