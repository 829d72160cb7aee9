from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "threada_site.identity"
    label = "identity"
