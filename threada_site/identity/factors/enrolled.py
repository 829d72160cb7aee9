"""Factors that a person enrolled. Needs no unit of work: factors belong to no tenant."""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db import transaction

from threada_site.identity.selectors import tenants_of_person
from threada_site.kernel import errors
from threada_site.kernel.factors import Factor
from threada_site.tenancy.factor_models import EnrolledFactor, RecoveryCode


def factors_of(person_id: uuid.UUID) -> list[EnrolledFactor]:
    """Return the enrolled factors of a person, oldest first."""
    return list(EnrolledFactor.objects.filter(user_id=person_id).order_by("id"))


def enrolled_kinds(person_id: uuid.UUID) -> frozenset[Factor]:
    """Return the kinds of factors that a person enrolled; empty if there is none."""
    kinds = EnrolledFactor.objects.filter(user_id=person_id).values_list("kind", flat=True).distinct()
    return frozenset(map(Factor, kinds))


def remove_factors(person_id: uuid.UUID) -> tuple[str, ...]:
    """Remove all factors and recovery codes of a person. Return the ids of the factors."""
    factors = EnrolledFactor.objects.filter(user_id=person_id)
    removed = tuple(factor.public_id for factor in factors.order_by("id"))
    factors.delete()
    RecoveryCode.objects.filter(user_id=person_id).delete()
    return removed


def has_factors(person_id: uuid.UUID, given: Collection[str]) -> bool:
    """Return True if a person still has enrolled factors that allow a sign-in with `given`.

    A passkey needs one, a code or a recovery code any. Waits for changes of the factors to commit.
    """
    if not {Factor.PASSKEY, Factor.TOTP, Factor.RECOVERY_CODE} & set(given):
        return True
    with transaction.atomic():
        enrolled = EnrolledFactor.objects.filter(user_id=person_id).order_by("id").select_for_update()
        kinds = set(enrolled.values_list("kind", flat=True))
    return Factor.PASSKEY in kinds if Factor.PASSKEY in given else bool(kinds)


def require_other_factor(factor: EnrolledFactor) -> None:
    """Raise `LastFactorRequired` if a tenant of the person requires a second factor, and `factor` is the last one.

    Recovery codes end with the last factor.
    """
    if EnrolledFactor.objects.filter(user_id=factor.user_id).exclude(id=factor.id).exists():
        return
    if any(tenant.needs_second_factor for tenant in tenants_of_person(factor.user)):
        raise errors.LastFactorRequired
    RecoveryCode.objects.filter(user_id=factor.user_id).delete()
