"""Bodies of SCIM requests: bounded, strict JSON without passwords. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from threada_site.kernel import errors
from threada_site.kernel.json.strict import parse_json

MOST_VALUES: Final = 20_000
"""Values in one request, which is more than a group of the largest size has."""
MOST_OPERATIONS: Final = 200
"""Operations of one PATCH."""
_PASSWORD: Final = "password"  # noqa: S105 - the name of an attribute


def check_body(raw: bytes) -> None:
    """Raise `MalformedJson`, `ProvisioningInvalid` for too many values or operations, `ProvisionedPasswordRefused`."""
    if not raw:
        return
    body = parse_json(raw)
    for count, (name, value) in enumerate(_members(body)):
        if count >= MOST_VALUES:
            raise errors.ProvisioningInvalid(f"A request has at most {MOST_VALUES} values.", scim_type="tooMany")
        if _is_password(name) or (name.lower() == "path" and isinstance(value, str) and _is_password(value)):
            raise errors.ProvisionedPasswordRefused(scim_type="invalidValue")
    operations = body.get("Operations", body.get("operations")) if isinstance(body, dict) else None
    if isinstance(operations, list) and len(operations) > MOST_OPERATIONS:
        raise errors.ProvisioningInvalid(f"A PATCH has at most {MOST_OPERATIONS} operations.", scim_type="tooMany")


def _is_password(name: str) -> bool:
    """Return True for `password`, alone or after the URN of a schema, in any case."""
    return name.rpartition(":")[2].strip().lower() == _PASSWORD


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every member of every object and every item of every list, without recursion."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield from current.items()
            waiting.extend(current.values())
        elif isinstance(current, list):
            for item in current:
                yield "", item
            waiting.extend(current)
