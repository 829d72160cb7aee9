from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class ConsoleConfig(AppConfig):
    name = "threada_site.console"
    label = "console"
    default = True


class ConsoleAdminConfig(admin_apps.AdminConfig):
    """Django's admin with the console as default site."""

    default = False
    default_site = "threada_site.console.site.ConsoleSite"
