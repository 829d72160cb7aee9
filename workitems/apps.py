from django.apps import AppConfig


class WorkitemsConfig(AppConfig):
    name = "workitems"

    def ready(self) -> None:
        from integrations.connectors import register, register_packages
        from threada_site.tenancy.keyring import register_case_lookup
        from workitems.connector import WorkflowConnector
        from workitems.selectors import subject_of_case

        register(WorkflowConnector())
        register_packages()
        register_case_lookup(subject_of_case)
