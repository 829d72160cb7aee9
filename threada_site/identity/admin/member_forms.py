"""Forms on the console pages of members."""

from __future__ import annotations

import uuid

from django import forms
from django.contrib.auth.models import Group
from django.db.models import Prefetch, QuerySet
from django.utils.translation import gettext_lazy

from threada_site.admin.forms import ConsoleForm
from threada_site.identity import selectors
from threada_site.identity.account_links import unused_link
from threada_site.identity.admin.roles import SCOPE_CHOICES
from threada_site.identity.grants.object_grants import object_slugs
from threada_site.kernel.context import PrincipalKind
from threada_site.tenancy.account_link_models import LinkPurpose
from threada_site.tenancy.models import Membership


def roles_of(member: Membership) -> list[str]:
    """Return the slugs of a member's roles."""
    return sorted(group.role.slug for group in member.user.groups.all())


def with_roles[M: Membership](rows: QuerySet[M], *, tenant_id: uuid.UUID) -> QuerySet[M]:
    """Return memberships with their principals, owners and roles, for `roles_of`."""
    groups = Group.objects.filter(role__tenant_id=tenant_id).select_related("role")
    return rows.select_related("user", "owner").prefetch_related(Prefetch("user__groups", queryset=groups))


class MemberForm(ConsoleForm):
    intro = gettext_lazy(
        "Adds a member to this tenant. A person gets an invitation: a link that works once, for 72 hours, with "
        "which the person sets a password. Until another steward confirms the account, it depends on you."
    )
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=63,
        help_text=gettext_lazy("a to z, 0 to 9, - and _; unique in the instance."),
    )
    kind = forms.ChoiceField(label=gettext_lazy("Kind"), choices=[(kind.value, kind.value) for kind in PrincipalKind])
    display_name = forms.CharField(label=gettext_lazy("Display name"), max_length=200, required=False)
    roles = forms.MultipleChoiceField(label=gettext_lazy("Roles"), required=False, widget=forms.CheckboxSelectMultiple)
    owner = forms.CharField(
        label=gettext_lazy("Owner"),
        max_length=63,
        required=False,
        help_text=gettext_lazy("The name of the person who answers for an agent or a service. Leave empty for people."),
    )
    email = forms.EmailField(
        label=gettext_lazy("Mail address"),
        max_length=254,
        required=False,
        help_text=gettext_lazy("For a person: the invitation is mailed there, if this instance has a mail server."),
    )

    def prepare(self) -> None:
        slugs = selectors.roles_of_tenant(self.ctx.tenant_id).values_list("slug", flat=True)
        self.fields["roles"].choices = [(slug, slug) for slug in slugs]  # type: ignore[attr-defined]


class RolesForm(ConsoleForm):
    intro = gettext_lazy("Permissions change at once, also for tokens in use.")
    roles = forms.MultipleChoiceField(label=gettext_lazy("Roles"), required=False, widget=forms.CheckboxSelectMultiple)

    def prepare(self) -> None:
        slugs = selectors.roles_of_tenant(self.ctx.tenant_id).values_list("slug", flat=True)
        self.fields["roles"].choices = [(slug, slug) for slug in slugs]  # type: ignore[attr-defined]
        self.initial = {"roles": roles_of(self.row)}


class ObjectScopesForm(ConsoleForm):
    intro = gettext_lazy(
        "Sets the scopes on one workflow or integration, besides those of the roles. None selected: withdraws all."
    )
    on = forms.ChoiceField(label=gettext_lazy("Workflow or integration"))
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Scopes"), required=False, choices=SCOPE_CHOICES, widget=forms.CheckboxSelectMultiple
    )

    def prepare(self) -> None:
        named = sorted(object_slugs(self.ctx.tenant_id).values())
        self.fields["on"].choices = [(f"{kind}:{slug}", f"{kind} {slug}") for kind, slug in named]  # type: ignore[attr-defined]


class OwnerForm(ConsoleForm):
    intro = gettext_lazy("The owner cannot decide on requests of the agent, unless a rule says exclude: [].")
    owner = forms.CharField(
        label=gettext_lazy("Owner"),
        max_length=63,
        required=False,
        help_text=gettext_lazy("The name of a person; empty for nobody."),
    )

    def prepare(self) -> None:
        self.initial = {"owner": self.row.owner.username if self.row.owner else ""}


class InviteAgainForm(ConsoleForm):
    intro = gettext_lazy(
        "Creates a new link; the previous one is invalid at once. Until another steward confirms the account, it "
        "depends on you."
    )
    email = forms.EmailField(label=gettext_lazy("Mail address"), max_length=254, required=False)

    def prepare(self) -> None:
        link = unused_link(self.row.user, LinkPurpose.INVITATION, tenant_id=self.ctx.tenant_id)
        self.initial = {"email": link.address if link else ""}


class ResetForm(ConsoleForm):
    intro = gettext_lazy(
        "For a person without a confirmed mail address. A second, independent steward must publish this change and "
        "then sees a link once, here on this page. The account depends on both of you until it is confirmed. The "
        "person's sessions end when the link is used."
    )


class ResetFactorsForm(ConsoleForm):
    intro = gettext_lazy(
        "For a person who has lost all second factors and recovery codes. A second, independent steward must publish "
        "this change. The person's sessions end, and the account depends on both of you until it is confirmed."
    )


class ShowLinkForm(ConsoleForm):
    intro = gettext_lazy("The link is shown once. Give it to the person over a channel that you trust.")
