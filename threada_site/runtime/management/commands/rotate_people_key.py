from __future__ import annotations

import time
from typing import Any, Final

from threada_site.personal_data.rotate_people_key import rewrap_keys
from threada_site.tenancy.instance_membership import PEOPLE_KEY, accept_facts
from threada_site.tenancy.management.base import ProductCommand

BATCH: Final = 200
PASSES: Final = 20
PAUSE_S: Final = 0.5


class Command(ProductCommand):
    uses_keys = True
    help = (
        "Rewrap the key of every data subject with the first key of THREADA_PEOPLE_KEY (or of its file), in batches, "
        "while the instance runs. May be stopped and run again. Afterwards the older keys can be removed."
    )

    def run_command(self, **_options: Any) -> None:
        total = 0
        for _ in range(PASSES):
            wrapped, in_use, broken = self._pass()
            total += wrapped
            if not in_use:
                break
            time.sleep(PAUSE_S)
        if in_use or broken:
            self.refuse(
                f"{total} keys rewrapped; {in_use} were in use: run it again. {broken} could not be rewrapped: no key "
                "opens them, or the person exists twice."
            )
        accept_facts([PEOPLE_KEY])  # from now on a machine without this key does not start
        self.stdout.write(f"{total} keys rewrapped.")

    def _pass(self) -> tuple[int, int, int]:
        after = None
        wrapped = in_use = broken = 0
        while True:
            found = rewrap_keys(after=after, most=BATCH)
            after = found.last
            wrapped, in_use, broken = wrapped + found.wrapped, in_use + found.in_use, broken + found.broken
            if after is None:
                return wrapped, in_use, broken
