from django.apps import AppConfig


class IdentityConfig(AppConfig):
    name = "threada_site.identity"
    label = "identity"

    def ready(self) -> None:
        """Register the operations of change sets."""
        from threada_site.identity import change_operations  # noqa: F401 - needs the models
        from threada_site.identity.factors import reset  # noqa: F401 - the same
        from threada_site.identity.trusted_issuers import configure  # noqa: F401 - the same
