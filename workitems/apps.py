from django.apps import AppConfig


class WorkitemsConfig(AppConfig):
    name = "workitems"

    def ready(self) -> None:
        from integrations.connectors import register
        from threada_site.tenancy.keyring import register_case_lookup
        from workitems.connector import WorkflowConnector
        from workitems.selectors import subject_of_case

        register(WorkflowConnector())
        register_case_lookup(subject_of_case)
