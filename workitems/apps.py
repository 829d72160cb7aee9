from django.apps import AppConfig


class WorkitemsConfig(AppConfig):
    name = "workitems"

    def ready(self) -> None:
        from integrations.connectors import register
        from workitems.connector import WorkflowConnector

        register(WorkflowConnector())
