import atexit

from django.apps import AppConfig
from django.db import connections


class TenancyConfig(AppConfig):
    name = "threada_site.tenancy"
    label = "tenancy"
    verbose_name = "Tenancy"

    def ready(self) -> None:

        # Otherwise the end of a command waits five seconds for each thread of the pool.
        atexit.register(_close_pool)


def _close_pool() -> None:
    connections["default"].close()
    connections["default"].close_pool()  # type: ignore[attr-defined]
