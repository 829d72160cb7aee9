from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    name = "threada_site.console"
    label = "console"
