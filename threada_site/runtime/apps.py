from django.apps import AppConfig


class RuntimeConfig(AppConfig):
    name = "threada_site.runtime"
    label = "runtime"
