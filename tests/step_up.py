"""Requests of people as if the API had sessions: their tokens count as a console session that has just stepped up.

The API refuses the tokens of people where a step-up is needed (`test_what_only_people_write`). Tests of what the request
does otherwise use this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from threada_site.api.authentication import CredentialAuthentication
from threada_site.api.views import TenantView
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext


class SteppedUpAuthentication(CredentialAuthentication):
    def authenticate(self, request: Any) -> tuple[ActingContext, ActingContext]:
        context, _ = super().authenticate(request)
        if context.is_person:
            context = replace(context, reauthenticated_at=clock.now())
            request._request.acting_context = context
        return context, context


@contextmanager
def people_stepped_up() -> Iterator[None]:
    """Let the tokens of people count as sessions with a step-up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TenantView, "authentication_classes", [SteppedUpAuthentication])
        yield


@pytest.fixture
def step_up() -> Iterator[None]:
    """Let the tokens of people count as sessions with a step-up during the test."""
    with people_stepped_up():
        yield
