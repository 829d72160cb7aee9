"""Contents of the workflow builder that higher layers provide: the form of the portal, and actions of integrations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from policies.documents.workflow import WorkflowDocument
from threada_site.kernel.context import ActingContext


@dataclass(frozen=True, slots=True)
class ActionChoice:
    """Action of an integration, which a request may execute."""

    action: str
    integration: str
    integration_name: str


def no_form(_document: WorkflowDocument) -> str:
    return ""


def no_choices(_ctx: ActingContext) -> list[ActionChoice]:
    return []


@dataclass(slots=True)
class BuilderSources:
    """`form_of` renders the form of a workflow; `action_choices` returns the actions that the context may know of."""

    form_of: Callable[[WorkflowDocument], str] = no_form
    action_choices: Callable[[ActingContext], list[ActionChoice]] = no_choices


SOURCES: Final = BuilderSources()
"""Set by `workitems.portal.builder_sources`, which the addresses of the product import."""
