"""Agreement between the web server and the code on its threads about where passwords are hashed. Pure."""

from __future__ import annotations

import threading
from typing import Final

REQUESTS: Final = "request"
PASSWORDS: Final = "password"

MUST_WAIT: Final = "threada.sign_in_must_wait"
"""Key of the WSGI environment, set by the application if it refused a sign-in without checking the password."""


def is_request_thread() -> bool:
    """Return True on a thread that serves all requests but those that hash passwords."""
    return threading.current_thread().name.startswith(f"{REQUESTS}-")
