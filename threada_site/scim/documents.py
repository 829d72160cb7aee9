"""Rows as SCIM resources, and SCIM resources as values of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from zoneinfo import available_timezones

from scim2_models import InvalidValueException, Resource, default_comparison_key
from scim2_models import Path as ScimPath

from threada_site.kernel import clock
from threada_site.kernel.json.canonical import canonical_bytes
from threada_site.scim.schemas import Group, UserResource
from threada_site.tenancy.models import ProvisionedGroup, ProvisionedPerson

MOST_ATTRIBUTE_BYTES: Final = 32_768
_COLUMNS: Final = ("id", "meta", "schemas", "userName", "externalId", "groups")
_USER_NAME: Final = ScimPath[UserResource]("userName").resolve()  # type: ignore[valid-type]
_MOST_NAME: Final = 200
_MOST_KEY: Final = 255


def user_key(user_name: str) -> str:
    """Return the form in which user names and names of groups are compared."""
    return default_comparison_key(_USER_NAME, user_name)


def user_resource(row: ProvisionedPerson, groups: Iterable[ProvisionedGroup]) -> Any:
    """Return a person as a resource, with the groups."""
    return UserResource.model_validate(
        {
            **row.attributes,
            "schemas": row.attributes.get("schemas") or [str(UserResource.__schema__)],
            "id": row.user_public_id,
            **({"externalId": row.external_id} if row.external_id else {}),
            "userName": row.user_name,
            **({} if row.is_active and "active" not in row.attributes else {"active": row.is_active}),
            **({"groups": found} if (found := [_group_of_user(group) for group in groups]) else {}),
            "meta": _meta("User", row),
        }
    )


def group_resource(row: ProvisionedGroup, people: Iterable[ProvisionedPerson]) -> Any:
    """Return a group as a resource, with these people."""
    return Group.model_validate(
        {
            "schemas": [str(Group.__schema__)],
            "id": row.public_id,
            **({"externalId": row.external_id} if row.external_id else {}),
            "displayName": row.display_name,
            **({"members": found} if (found := [_member(person) for person in people]) else {}),
            "meta": _meta("Group", row),
        }
    )


def stored_attributes(resource: Resource[Any]) -> dict[str, Any]:
    """Return what the row of a person stores besides its columns. Raise `InvalidValueException` if it is too much."""
    whole: dict[str, Any] = resource.model_dump()
    stored = {name: value for name, value in whole.items() if name not in _COLUMNS}
    if len(whole.get("schemas", ())) > 1:
        stored["schemas"] = whole["schemas"]
    if len(canonical_bytes(stored)) > MOST_ATTRIBUTE_BYTES:
        raise InvalidValueException(detail=f"The attributes of a User have at most {MOST_ATTRIBUTE_BYTES} bytes.")
    return stored


def column_text(value: str | None, name: str) -> str:
    """Return the value of a column. Raise `InvalidValueException` if it is too long or not printable."""
    text = (value or "").strip()
    if len(text) > _MOST_KEY or len(user_key(text)) > _MOST_KEY or not text.isprintable():
        raise InvalidValueException(detail=f"{name} has at most {_MOST_KEY} printable characters.")
    return text


def shown_name(resource: Any) -> str:
    """Return the name of a person that Threada shows."""
    name = resource.name
    parts = [name.given_name, name.family_name] if name else []
    told = resource.display_name or (name.formatted if name else None) or " ".join(filter(None, parts))
    text = (told or "").strip()[:_MOST_NAME]
    return text if text.isprintable() else ""


def mail_address(resource: Any) -> str:
    """Return the primary mail address, or the first one, or ""."""
    entries = [entry for entry in resource.emails or [] if entry.value]
    chosen = next((entry for entry in entries if entry.primary), entries[0] if entries else None)
    return str(chosen.value) if chosen and len(chosen.value) <= 254 else ""


def time_zone(resource: Any) -> str:
    """Return the time zone of a person, or "" if it is unknown."""
    return resource.timezone if resource.timezone in available_timezones() else ""


def changed_names(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return the names of attributes that differ."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def etag(version: int) -> str:
    return f'W/"{version}"'


def _meta(kind: str, row: ProvisionedPerson | ProvisionedGroup) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "created": clock.rfc3339(row.created_at),
        "lastModified": clock.rfc3339(row.modified_at),
        "version": etag(row.version),
    }


def _group_of_user(group: ProvisionedGroup) -> dict[str, str]:
    return {
        "value": group.public_id,
        "$ref": f"Groups/{group.public_id}",
        "display": group.display_name,
        "type": "direct",
    }


def _member(person: ProvisionedPerson) -> dict[str, str]:
    return {
        "value": person.user_public_id,
        "$ref": f"Users/{person.user_public_id}",
        "type": "User",
    }
