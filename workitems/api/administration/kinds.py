"""`/roles`, `/groups`, `/lists` and `/retention`: documents that are administered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from django.db.models import QuerySet

from policies import selectors as policy_selectors
from policies.locks import lock_list
from threada_site.api.resources.field_types import INSTANT, MAYBE_TEXT, NUMBER, OBJECT, SLUG, public_id
from threada_site.api.resources.resource import Resource, field
from threada_site.identity.groups import lock_group
from threada_site.identity.roles import lock_role
from threada_site.identity.selectors import group_members, groups_of_tenant, roles_of_tenant, scopes_of_roles
from threada_site.identity.stewardship import require_steward
from threada_site.kernel import ids
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import PeopleGroup, Role
from workitems.api.administration.access import require_publisher, require_reader
from workitems.api.administration.documents import Administered, by_contents, by_version
from workitems.configuration.kinds.retention import RETENTION
from workitems.configuration.kinds.roles_and_groups import GROUP, ROLE
from workitems.configuration.kinds.rulebook import LIST
from workitems.models import RetentionRule
from workitems.retention.locks import lock_retention


def _spec_of_role(role: Role, specs: Mapping[str, Any]) -> dict[str, Any]:
    required = {} if role.require_mfa is None else {"require_mfa": role.require_mfa}
    return {"scopes": specs.get(role.slug, []), "visibility": role.visibility, **required}


def _spec_of_group(group: PeopleGroup) -> dict[str, Any]:
    return {"members": list(group_members(group).values_list("username", flat=True))}


def _scopes(ctx: ActingContext) -> Mapping[str, list[str]]:
    slugs = roles_of_tenant(ctx.tenant_id).values_list("slug", flat=True)
    return defaultdict(list, scopes_of_roles(slugs, tenant_id=ctx.tenant_id))


def _retention_rules(ctx: ActingContext) -> QuerySet[RetentionRule]:
    rows = RetentionRule.objects.filter(tenant_id=ctx.tenant_id, current_version__isnull=False)
    return rows.select_related("current_version")


def _spec_of_rule(rule: RetentionRule) -> dict[str, Any]:
    spec = rule.current_version.spec if rule.current_version else {}
    return {name: said for name, said in spec.items() if said}


ROLES: Final = Administered(
    kind=ROLE,
    kind_name="Role",
    name="role",
    plural="roles",
    tag="Roles and groups",
    resource=Resource(
        "Role",
        field("role_id", SLUG, "slug"),
        field("spec", OBJECT, _spec_of_role, description="Scopes, visibility and second factor, as in a document."),
    ),
    rows=lambda ctx: roles_of_tenant(ctx.tenant_id),
    specs=_scopes,
    locking=lambda slug, ctx: lock_role(slug, ctx=ctx),
    states=by_contents,
    read_scope=Scope.WORKITEMS_READ,
    write_scope=Scope.WORKFLOW_MANAGE,
    may_read=require_reader,
    may_write=require_steward,
    example={"role_id": "finance", "spec": {"scopes": ["workitems:read", "decisions:decide"]}},
    put_description="Members of the role gain and lose scopes at once. Only a `tenant_admin` may do this.",
    withdraw_description="A default role gets its default scopes back. A role that members hold or rules ask for stays "
    "(409).",
)
GROUPS: Final = Administered(
    kind=GROUP,
    kind_name="Group",
    name="group",
    plural="groups",
    tag="Roles and groups",
    resource=Resource(
        "Group",
        field("group_id", SLUG, "slug"),
        field("name", MAYBE_TEXT, description="Label."),
        field("source", MAYBE_TEXT, description="Provisioning client that maintains the group; null: people do."),
        field("spec", OBJECT, _spec_of_group, is_detail=True, description="Names of the members. Omitted in lists."),
    ),
    rows=lambda ctx: groups_of_tenant(ctx.tenant_id),
    locking=lambda slug, ctx: lock_group(slug, ctx=ctx),
    states=by_contents,
    read_scope=Scope.WORKITEMS_READ,
    write_scope=Scope.WORKFLOW_MANAGE,
    may_read=require_reader,
    may_write=require_steward,
    example={"group_id": "auditors", "name": "Auditors", "spec": {"members": ["ann", "bob"]}},
    put_description="Open decisions use the new members at once. Only a `tenant_admin` may do this.",
    withdraw_description="A group that rules ask for stays (409).",
    has_label=True,
    reasons=("permission_denied", "document_invalid", "conflict", "group_from_provisioning"),
)
LISTS: Final = Administered(
    kind=LIST,
    kind_name="List",
    name="list",
    plural="lists",
    tag="Policies",
    resource=Resource(
        "List",
        field("list_id", SLUG, "slug"),
        field("version", NUMBER, "current_version.number"),
        field(
            "spec",
            OBJECT,
            lambda row: {"items": row.current_version.spec},
            is_detail=True,
            description="Items of the list. Omitted in lists.",
        ),
        field("created_at", INSTANT),
    ),
    rows=policy_selectors.lists,
    locking=lambda slug, ctx: lock_list(slug, ctx=ctx),
    states=by_version,
    read_scope=Scope.WORKITEMS_READ,
    write_scope=Scope.POLICIES_PUBLISH,
    may_read=require_reader,
    may_write=require_publisher,
    example={"list_id": "blocked_vendors", "spec": {"items": ["Initech"]}},
    put_description="Rules use the new items from the next decision on.",
    withdraw_description="A list that policies in force read stays (409).",
    reasons=("permission_denied", "document_invalid", "conflict", "rules_too_expensive"),
)
RETENTION_RULES: Final = Administered(
    kind=RETENTION,
    kind_name="Retention",
    name="retention rule",
    plural="retention rules",
    tag="Retention",
    resource=Resource(
        "RetentionRule",
        field("retention_rule_id", SLUG, "slug"),
        field("retention_version_id", public_id(ids.RETENTION_VERSION), "current_version.id"),
        field("version", NUMBER, "current_version.number"),
        field("spec", OBJECT, _spec_of_rule, description="Rule as in a document."),
        field("created_at", INSTANT),
    ),
    rows=_retention_rules,
    locking=lambda _slug, ctx: lock_retention(ctx=ctx),
    states=by_version,
    read_scope=Scope.WORKFLOW_MANAGE,
    write_scope=Scope.WORKFLOW_MANAGE,
    may_read=require_steward,
    may_write=require_steward,
    example={"retention_rule_id": "personal", "spec": {"data_class": "personal", "keep_payload": "P90D"}},
    put_description="The next dry run uses the rule. Only a `tenant_admin` may do this.",
    withdraw_description="What the rule was about is kept from now on.",
)
