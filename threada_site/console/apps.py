from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps
from django.utils.module_loading import import_string


class ConsoleConfig(AppConfig):
    name = "threada_site.console"
    label = "console"
    default = True

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

        for signal, function, uid in (
            (user_logged_in, "tenant_choice.store_sign_in_time", "threada.sign_in_time"),
            (user_logged_in, "session_receipts.on_sign_in", "threada.sign_in"),
            (user_login_failed, "session_receipts.on_failed_sign_in", "threada.failed_sign_in"),
            (user_logged_out, "session_receipts.on_sign_out", "threada.sign_out"),
        ):
            signal.connect(_imported_late(f"threada_site.console.{function}"), weak=False, dispatch_uid=uid)


def _imported_late(path: str) -> Callable[..., None]:
    """Return a receiver that imports the function at `path` when it is called, which most commands never do."""

    def receive(**values: Any) -> None:
        import_string(path)(**values)

    return receive


class ConsoleAdminConfig(admin_apps.SimpleAdminConfig):
    """Django's admin with the console as default site.

    `threada_site.urls` registers its pages, so that processes without pages do not load them.
    """

    default = False
    default_site = "threada_site.console.site.ConsoleSite"
