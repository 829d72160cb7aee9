"""How much a policy may ask of the engine, which limits compiling by nothing and holds the interpreter meanwhile: what
one tenant has compiled keeps every other tenant of the process waiting. Pure.

Compiling takes about 6 µs and 100 bytes of memory for each byte of a condition, twice: alone and with its neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from threada_site.kernel.errors import FieldError

MAX_CONDITION_BYTES: Final = 128 * 1024
"""In all conditions of one policy together: under a second to compile, and a tenth to evaluate."""
MAX_RULES_APPLYING: Final = 5_000
"""In force and bound anywhere in one tenant, in all policies together."""
MAX_BYTES_APPLYING: Final = 512 * 1024
CHECK_SECONDS: Final = 10.0
"""Of processor time to check one policy before it is published."""


class Allowance:
    """Processor time of this thread that is left for one request."""

    def __init__(self, seconds: float) -> None:
        self._end = time.thread_time() + seconds

    @property
    def is_used_up(self) -> bool:
        return time.thread_time() > self._end


def condition_bytes(spec: Mapping[str, Any]) -> int:
    """Of all conditions of a spec; what is no text has none."""
    conditions = (rule.get("when") for rule in spec.get("rules", []))
    return sum(len(source.encode(errors="replace")) for source in conditions if isinstance(source, str))


def room_problems(specs: Mapping[str, Mapping[str, Any]]) -> list[FieldError]:
    """What is wrong with the policies that would apply in one tenant together, by slug."""
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
