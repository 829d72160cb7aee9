from importlib.metadata import entry_points

from django.apps import AppConfig


class WorkitemsConfig(AppConfig):
    name = "workitems"

    def ready(self) -> None:
        from integrations.late_connectors import PATHS
        from policies.configuration.use_checks import register_use_check
        from threada_site.personal_data.subject_keys import register_case_lookup
        from workitems.conversation.searchable import conversation_texts
        from workitems.items.open_items import check_no_open_cases
        from workitems.items.subjects import subject_of_case
        from workitems.search.documents import register_texts

        PATHS.append("workitems.executions.workflow_connector.WorkflowConnector")
        if entry_points(group="threada.connectors"):
            from integrations.connectors import register_packages

            register_packages()
        register_case_lookup(subject_of_case)
        register_use_check(check_no_open_cases)
        register_texts(conversation_texts)
