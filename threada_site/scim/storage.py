"""Storage of the SCIM server over the rows of one tenant, in the unit of work of the request."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection
from typing import Any, Final

from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL
from scim2_models import (
    InvalidFilterException,
    InvalidValueException,
    NotFoundException,
    Resource,
    ResourceType,
    ResponseParameters,
    SearchRequest,
)
from scim2_server.storage import ScimStorage, SearchPage

from threada_site.identity.selectors import provisioned_groups, provisioned_people
from threada_site.kernel import ids
from threada_site.scim import groups, people
from threada_site.scim.authority import Client
from threada_site.scim.documents import group_resource, user_resource
from threada_site.scim.filters import sql_of
from threada_site.scim.schemas import GROUP_TYPE, MOST_RESULTS, USER_TYPE, Group, UserResource
from threada_site.tenancy.models import ProvisionedGroup, ProvisionedGroupMember, ProvisionedPerson

_MEMBERS_SHOWN: Final = "members"
_LAST_START: Final = 2**31


class TenantStorage(ScimStorage):
    """People and groups of the tenant of `client`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.tenant_id: uuid.UUID = client.ctx.tenant_id

    def get(
        self,
        resource_type: ResourceType,
        resource_id: str,
        *,
        response_parameters: ResponseParameters[Any] | None = None,
    ) -> Resource[Any]:
        row = self._row(resource_type, resource_id)
        return self._resources(resource_type, [row], response_parameters)[0]

    def search(
        self,
        resource_types: list[ResourceType],
        search_request: SearchRequest[Any],
        *,
        position: Any = None,
    ) -> SearchPage:
        start = search_request.start_index_0 or 0
        if start > _LAST_START:
            raise InvalidValueException(detail=f"startIndex is at most {_LAST_START}.")
        left = MOST_RESULTS if search_request.count is None else search_request.count
        total, found = 0, []
        for resource_type in resource_types:
            rows = self._found(resource_type, search_request)
            number = rows.count()
            first = max(start - total, 0)
            if left and first < number:
                page = list(rows.order_by("id")[first : first + left])
                found += self._resources(resource_type, page, search_request)
                left -= len(page)
            total += number
        return SearchPage(total, found)

    def create(self, resource_type: ResourceType, resource: Resource[Any]) -> Resource[Any]:
        if resource_type.id == USER_TYPE.id:
            return self._user(people.create_person(resource, client=self.client))
        return self._group(groups.create_group(resource, client=self.client))

    def update(
        self, resource_type: ResourceType, resource: Resource[Any], *, expected_version: str | None = None
    ) -> Resource[Any]:
        row = self._row(resource_type, str(resource.id))
        if isinstance(row, ProvisionedPerson):
            return self._user(people.update_person(row, resource, expected=expected_version, client=self.client))
        return self._group(groups.update_group(row, resource, expected=expected_version, client=self.client))

    def delete(self, resource_type: ResourceType, resource_id: str, *, expected_version: str | None = None) -> None:
        row = self._row(resource_type, resource_id)
        if isinstance(row, ProvisionedPerson):
            people.delete_person(row, expected=expected_version, client=self.client)
        else:
            groups.delete_group(row, expected=expected_version, client=self.client)

    def _rows(self, resource_type: ResourceType) -> QuerySet[Any]:
        is_user = resource_type.id == USER_TYPE.id
        return provisioned_people(self.tenant_id) if is_user else provisioned_groups(self.tenant_id)

    def _row(self, resource_type: ResourceType, resource_id: str) -> ProvisionedPerson | ProvisionedGroup:
        is_user = resource_type.id == USER_TYPE.id
        found = ids.parse_public_id(ids.PRINCIPAL if is_user else ids.PROVISIONED_GROUP, resource_id)
        rows = self._rows(resource_type)
        row = rows.filter(**{"user_id" if is_user else "id": found}).first() if found else None
        if row is None:
            raise NotFoundException(detail=f"There is no {resource_type.name} {resource_id[:64]!r}.")
        return row  # type: ignore[no-any-return]

    def _found(self, resource_type: ResourceType, search_request: SearchRequest[Any]) -> QuerySet[Any]:
        rows = self._rows(resource_type)
        if search_request.sort_by is not None:
            raise InvalidFilterException(detail="Sorting is not supported.")
        if search_request.filter is None:
            return rows
        model = UserResource if resource_type.id == USER_TYPE.id else Group
        sql, values = sql_of(str(search_request.filter), model)
        return rows.filter(RawSQL(sql, values, output_field=BooleanField()))  # noqa: S611 - values are parameters

    def _resources(
        self, resource_type: ResourceType, rows: list[Any], parameters: ResponseParameters[Any] | None
    ) -> list[Resource[Any]]:
        if resource_type.id == USER_TYPE.id:
            of_people = self._groups_of(rows)
            return [user_resource(row, of_people[row.id]) for row in rows]
        wanted = rows if _wants_members(parameters) else []
        members = self._members_of(wanted)
        return [group_resource(row, members[row.id]) for row in rows]

    def _user(self, row: ProvisionedPerson) -> Resource[Any]:
        return self._resources(USER_TYPE, [row], None)[0]

    def _group(self, row: ProvisionedGroup) -> Resource[Any]:
        return self._resources(GROUP_TYPE, [row], None)[0]

    def _groups_of(self, rows: Collection[ProvisionedPerson]) -> dict[uuid.UUID, list[ProvisionedGroup]]:
        found = ProvisionedGroupMember.objects.filter(tenant_id=self.tenant_id, person__in=rows)
        groups_of: dict[uuid.UUID, list[ProvisionedGroup]] = defaultdict(list)
        for row in found.select_related("group").order_by("group_id"):
            groups_of[row.person_id].append(row.group)
        return groups_of

    def _members_of(self, rows: Collection[ProvisionedGroup]) -> dict[uuid.UUID, list[ProvisionedPerson]]:
        members: dict[uuid.UUID, list[ProvisionedPerson]] = defaultdict(list)
        if not rows:
            return members
        found = ProvisionedGroupMember.objects.filter(tenant_id=self.tenant_id, group__in=rows)
        for row in found.select_related("person").order_by("person_id"):
            members[row.group_id].append(row.person)
        return members


def _wants_members(parameters: ResponseParameters[Any] | None) -> bool:
    """Return False if the client excludes the members of groups, or asks for other attributes only."""
    if parameters is None:
        return True
    if parameters.excluded_attributes:
        return not any(_is_members(path) for path in parameters.excluded_attributes)
    if parameters.attributes:
        return any(_is_members(path, with_parts=True) for path in parameters.attributes)
    return True


def _is_members(path: Any, *, with_parts: bool = False) -> bool:
    name = str(path).rpartition(":")[2].lower()
    return name == _MEMBERS_SHOWN or (with_parts and name.startswith(f"{_MEMBERS_SHOWN}."))
