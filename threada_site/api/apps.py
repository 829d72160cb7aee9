from django.apps import AppConfig


class APIConfig(AppConfig):
    name = "threada_site.api"
    label = "api"
