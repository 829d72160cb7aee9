"""Choices of the filter bars. They are read from the configuration, never from large tables."""

from __future__ import annotations

import uuid
from typing import Final

from django.db.models import TextField, Value
from django.db.models.functions import Cast, Concat
from django.utils.translation import gettext_lazy

from integrations import selectors as integration_selectors
from policies import selectors as policy_selectors
from policies.models import PolicyVersion
from threada_site.admin.lists import ListFilter
from threada_site.admin.stored_choices import StoredChoices
from threada_site.kernel import ids

workflow_choices: Final = StoredChoices(policy_selectors.workflows)
channel_choices: Final = StoredChoices(policy_selectors.channels)
integration_choices: Final = StoredChoices(integration_selectors.readable_integrations)
policy_version_choices: Final = StoredChoices(
    lambda ctx: PolicyVersion.objects.filter(tenant_id=ctx.tenant_id).exclude(status="draft"),
    value="id",
    label=Concat("policy__slug", Value(" v"), Cast("number", TextField()), output_field=TextField()),
    order=("policy__slug", "-number"),
    as_value=lambda value: ids.public_id(ids.POLICY_VERSION, uuid.UUID(value)),
)

WORKFLOW: Final = ListFilter("workflow_id", gettext_lazy("Workflow"), choices=workflow_choices)
CHANNEL: Final = ListFilter("channel_id", gettext_lazy("Channel"), choices=channel_choices)
INTEGRATION: Final = ListFilter("integration_id", gettext_lazy("Integration"), choices=integration_choices)
POLICY_VERSION: Final = ListFilter("policy_version_id", gettext_lazy("Policy version"), choices=policy_version_choices)
