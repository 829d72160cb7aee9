from django.apps import AppConfig


class TenancyConfig(AppConfig):
    name = "threada_site.tenancy"
    label = "tenancy"
    verbose_name = "Tenancy"

    def ready(self) -> None:
        from threada_site.tenancy import checks  # noqa: F401  (registers the system checks)
