from __future__ import annotations

import itertools

import pytest

from policies.lifecycle import POLICY_VERSION, PolicyVersionStatus
from threada_site.kernel.errors import TransitionNotAllowed

TABLE = {"draft": {"published", "retired"}, "published": {"retired"}, "retired": set()}


@pytest.mark.parametrize(("current", "to"), list(itertools.product(PolicyVersionStatus, repeat=2)))
def test_a_policy_version_only_moves_forward(current: PolicyVersionStatus, to: PolicyVersionStatus) -> None:
    if to in TABLE[current]:
        POLICY_VERSION.check_transition(current, to)
    else:
        with pytest.raises(TransitionNotAllowed):
            POLICY_VERSION.check_transition(current, to)


def test_the_error_names_both_states_and_allowed_transitions() -> None:
    with pytest.raises(TransitionNotAllowed) as refusal:
        POLICY_VERSION.check_transition(PolicyVersionStatus.PUBLISHED, PolicyVersionStatus.DRAFT)
    assert refusal.value.detail == "A policy version that is published cannot become draft. It can become retired."


def test_only_retired_is_final() -> None:
    assert [state for state in PolicyVersionStatus if not POLICY_VERSION.is_open(state)] == ["retired"]
