from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class ConsoleConfig(AppConfig):
    name = "threada_site.console"
    label = "console"
    default = True

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in

        from threada_site.console.tenant_choice import store_sign_in_time

        user_logged_in.connect(store_sign_in_time, dispatch_uid="threada.sign_in_time")


class ConsoleAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the console as default site."""

    default = False
    default_site = "threada_site.console.site.ConsoleSite"
