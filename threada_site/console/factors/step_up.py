"""Codes in forms of the console, used before their views run."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from threada_site.admin.reauthentication import CODE_FIELD, stepped_up
from threada_site.console.signing_in import delayed_response, origin_of
from threada_site.identity.factors.proof import use_code
from threada_site.kernel.errors import SignInDelayed


def use_sent_code(request: HttpRequest) -> HttpResponse | None:
    """Use the code that a form of a session contains, which is a step-up. Return an answer if it has to wait.

    A wrong code is noted for `reauthenticate`, which refuses. A recovery code is no step-up.
    """
    ctx = request.acting_context  # type: ignore[attr-defined]
    typed = request.POST.get(CODE_FIELD, "") if request.method == "POST" and ctx is not None else ""
    if not typed.strip():
        return None
    person: Any = request.user
    try:
        factor = use_code(
            person,
            typed,
            address=origin_of(request).address,
            correlation_id=request.correlation_id,  # type: ignore[attr-defined]
            takes_recovery_code=False,
        )
    except SignInDelayed as refusal:
        return delayed_response(request, refusal)
    if factor is None:
        request.is_code_wrong = True  # type: ignore[attr-defined]
    else:
        request.acting_context = stepped_up(request, factor, ctx)  # type: ignore[attr-defined]
    return None
