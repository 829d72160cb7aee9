from django.apps import AppConfig


class WorkitemsConfig(AppConfig):
    name = "workitems"

    def ready(self) -> None:
        from integrations.connectors import register, register_packages
        from policies.admin.builder_sources import SOURCES
        from threada_site.personal_data.subject_keys import register_case_lookup
        from workitems.conversation.searchable import conversation_texts
        from workitems.executions.workflow_connector import WorkflowConnector
        from workitems.portal.builder_sources import action_choices, form_of
        from workitems.search.documents import register_texts
        from workitems.selectors import subject_of_case

        register(WorkflowConnector())
        register_packages()
        register_case_lookup(subject_of_case)
        register_texts(conversation_texts)
        SOURCES.form_of, SOURCES.action_choices = form_of, action_choices
