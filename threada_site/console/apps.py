from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class ConsoleConfig(AppConfig):
    name = "threada_site.console"
    label = "console"
    default = True

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

        from threada_site.console.session_receipts import on_failed_sign_in, on_sign_in, on_sign_out
        from threada_site.console.tenant_choice import store_sign_in_time

        user_logged_in.connect(store_sign_in_time, dispatch_uid="threada.sign_in_time")
        user_logged_in.connect(on_sign_in, dispatch_uid="threada.sign_in")
        user_login_failed.connect(on_failed_sign_in, dispatch_uid="threada.failed_sign_in")
        user_logged_out.connect(on_sign_out, dispatch_uid="threada.sign_out")


class ConsoleAdminConfig(admin_apps.SimpleAdminConfig):
    """Django's admin with the console as default site.

    `threada_site.urls` registers its pages, so that processes without pages do not load them.
    """

    default = False
    default_site = "threada_site.console.site.ConsoleSite"
