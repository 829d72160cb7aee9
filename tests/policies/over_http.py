"""HTTP clients of the rulebook, and access to their error responses."""

from __future__ import annotations

from typing import Any

from tests.client import Api
from tests.factories import make_principal, make_token
from tests.policies.rulebooks import (
    rule,
    spec,
)
from threada_site.tenancy.models import Tenant

ALLOW, DENY = spec(rule("yes", "allow")), spec(rule("no", "deny"))


def client(tenant: Tenant, name: str, role: str) -> Api:
    return Api(make_token(tenant, make_principal(tenant, name, roles=[role])))


def refusal(answer: Any) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["reason_code"]


def pointers(answer: Any) -> list[str]:
    return [entry["pointer"] for entry in answer.json()["errors"]]
