from __future__ import annotations

from typing import Any, Final

import psutil
from django.conf import settings

from threada_site import postgres
from threada_site.postgres.postmaster import is_alive, wait_until
from threada_site.runtime.processes import named, processes_of
from threada_site.tenancy.management.base import ProductCommand

_SECONDS_TO_END: Final = 120.0


class Command(ProductCommand):
    help = "Stop what `up` started on this data directory, and the embedded PostgreSQL."

    def run_command(self, **_options: Any) -> None:
        running = processes_of(settings.THREADA_DATA_DIR, settings.THREADA_BASE_DIR)
        supervisors = [process for process in running if process.kind == "up"]
        if supervisors:
            self._progress(f"stopping {named(running)}")
            self._stop([process.pid for process in supervisors])
        left = processes_of(settings.THREADA_DATA_DIR, settings.THREADA_BASE_DIR)
        if left:
            self.refuse(
                f"Still running: {named(left)}. These were started without `up`, or their `up` was killed "
                "and they are ending. Stop them where they were started, then repeat this. The database still runs."
            )
        if not settings.DATABASE_URL and postgres.status(settings.THREADA_DATA_DIR) is not None:
            self._progress("stopping the embedded PostgreSQL")
            postgres.stop(settings.THREADA_DATA_DIR)
        self.stdout.write("Nothing runs on this data directory any more." if running else "Nothing was running.")

    def _stop(self, pids: list[int]) -> None:
        """Ask the supervisors to stop, and wait until they and their processes have ended."""
        ending: dict[int, psutil.Process] = {}
        try:
            for pid in pids:
                supervisor = psutil.Process(pid)
                ending |= {process.pid: process for process in (supervisor, *supervisor.children(recursive=True))}
                supervisor.terminate()
        except psutil.NoSuchProcess:
            pass
        except psutil.AccessDenied as error:
            self.refuse(f"Process {error.pid} belongs to another user. Run manage.py down as that user or as root.")
        if not wait_until(lambda: not any(map(is_alive, ending.values())), _SECONDS_TO_END):
            alive = ", ".join(str(process.pid) for process in ending.values() if is_alive(process))
            self.refuse(
                f"Not ended within {_SECONDS_TO_END:g} s: {alive}. Look at the log, then end them with kill -9."
            )

    def _progress(self, message: str) -> None:
        self.stdout.write(f"  … {message}")
        self.stdout.flush()
