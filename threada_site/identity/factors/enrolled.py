"""Factors that a person enrolled. Needs no unit of work: factors belong to no tenant."""

from __future__ import annotations

import uuid

from threada_site.kernel.factors import Factor
from threada_site.tenancy.factor_models import EnrolledFactor


def factors_of(person_id: uuid.UUID) -> list[EnrolledFactor]:
    """Return the enrolled factors of a person, oldest first."""
    return list(EnrolledFactor.objects.filter(user_id=person_id).order_by("id"))


def enrolled_kinds(person_id: uuid.UUID) -> frozenset[Factor]:
    """Return the kinds of factors that a person enrolled; empty if there is none."""
    kinds = EnrolledFactor.objects.filter(user_id=person_id).values_list("kind", flat=True).distinct()
    return frozenset(map(Factor, kinds))
