"""Limits on the size of policies and on the CPU time to check them. Pure.

The CEL engine limits neither compilation nor memory, and keeps the interpreter lock while it compiles: a large policy
of one tenant would block every other tenant of the process.

Compiling takes about 6 µs and 100 bytes of memory for each byte of a condition, twice: alone and with its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from threada_site.kernel.errors import FieldError

MAX_CONDITION_BYTES: Final = 128 * 1024
"""Sum over all conditions of one policy. Compiling this much takes under 1 s, evaluating it 0.1 s."""
MAX_RULES_APPLYING: Final = 5_000
"""Sum over all policies that are in force and bound in one tenant."""
MAX_BYTES_APPLYING: Final = 512 * 1024
CHECK_SECONDS: Final = 10.0
"""CPU time to check one policy before it is published."""


class CpuBudget:
    """CPU time that this thread may still spend on one request."""

    def __init__(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds

    @property
    def is_used_up(self) -> bool:
        return time.thread_time() > self._end


def condition_bytes(spec: Mapping[str, Any]) -> int:
    """Return the size of all conditions of a spec in bytes; values that are not strings count 0."""
    conditions = (rule.get("when") for rule in spec.get("rules", []))
    return sum(len(source.encode(errors="replace")) for source in conditions if isinstance(source, str))


def limit_errors(specs: Mapping[str, Mapping[str, Any]]) -> list[FieldError]:
    """Return one error for each limit that the policies of one tenant, given by slug, exceed together."""
    rules = sum(len(spec.get("rules", [])) for spec in specs.values())
    size = sum(condition_bytes(spec) for spec in specs.values())
    errors = []
    if rules > MAX_RULES_APPLYING:
        said = f"{rules} rules would apply in this tenant; {MAX_RULES_APPLYING} may. Use lists for what is alike."
        errors.append(FieldError("/rules", said, "too_large"))
    if size > MAX_BYTES_APPLYING:
        said = f"The conditions that apply in this tenant would have {size} bytes; {MAX_BYTES_APPLYING} may."
        errors.append(FieldError("/rules", said, "too_large"))
    return errors
