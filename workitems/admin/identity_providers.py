"""Console pages of identity providers. They show secrets as references only."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.conf import settings
from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Func, OuterRef, QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.confirmation import Effects, FormConfirmation
from threada_site.admin.documents import as_yaml
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.reauthentication import ALWAYS
from threada_site.admin.schema_fields import description_of, label_of
from threada_site.admin.spec_forms import SpecForm
from threada_site.identity.admin.documents import (
    REPLACE,
    WITHDRAW,
    DocumentForm,
    NewDocumentForm,
    StewardDocumentAdmin,
    WithdrawForm,
    author_of,
)
from threada_site.identity.providers.configure import confirm_links, withdraw_provider
from threada_site.identity.providers.documents import SAML, SCHEMA, parse_provider, read_spec
from threada_site.identity.providers.provisioned import unbound_groups
from threada_site.identity.selectors import identity_providers
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import IdentityLink, IdentityProvider
from threada_site.tenancy.upsert import UpsertResult
from workitems.configuration.kinds.identity_providers import put_identity_provider

_INTRO: Final = gettext_lazy(
    "Members of this tenant sign in here. Whoever administers the provider can sign in as everybody whom it signs in, "
    "so a second steward confirms changes while identity_four_eyes is on. Another issuer, client or claim of the "
    "subject suspends all links until another steward confirms them."
)
_PROTOCOLS: Final = {"oidc": "OpenID Connect", "saml": "SAML 2.0"}
_OWN_LINES: Final = frozenset(
    {"protocol", "name", "issuer", "entity_id", "metadata", "client_id", "client_secret", "scopes", "claims", "roles",
     "create_accounts", "domains", "enforce", "break_glass"}
)  # fmt: skip
"""Members of a spec with lines of their own on the page. Others are listed by their names."""
_SHOWN: Final = 100
_COUNTED: Final = 1000


class NewProviderForm(NewDocumentForm):
    intro = _INTRO
    schema = SCHEMA.spec


class ProviderForm(SpecForm):
    intro = _INTRO
    schema = SCHEMA.spec


class ProviderDocumentForm(DocumentForm):
    intro = _INTRO
    kind = "IdentityProvider"
    schema = SCHEMA.spec


class WithdrawProviderForm(WithdrawForm):
    intro = gettext_lazy(
        "Nobody can sign in by it any more, and the sessions that it opened end at once. Accounts, links and roles "
        "stay. People without a password cannot sign in until you add the provider again."
    )


class ConfirmLinksForm(WithdrawForm):
    intro = gettext_lazy(
        "Issuer, client or claim of the subject changed, so the same subject may name somebody else now. Links are "
        "suspended until a steward who did not make the change confirms that they still name the same people."
    )


def _confirming(_admin: Any, form: ConsoleForm) -> Effects:
    """Return the sentence of the form and the people whose links are suspended."""
    waiting = _links(form.row).exclude(suspended_at=None).order_by("user__username")
    named = waiting.values_list("user__username", "subject")[:_SHOWN]
    return Effects([form.intro, *(f"{name} ({subject})" for name, subject in named)])


@admin.register(IdentityProvider)
class IdentityProviderAdmin(StewardDocumentAdmin):
    kind = "IdentityProvider"
    schema = SCHEMA.spec
    argument = "provider"
    operations = ("put_identity_provider", "withdraw_identity_provider")
    heading = gettext_lazy("Identity providers")
    columns = (
        Column(gettext_lazy("Provider"), lambda row: row.slug),
        Column(gettext_lazy("Name"), lambda row: row.name),
        Column(gettext_lazy("Protocol"), lambda row: protocol_of(row.current_version.spec)),
        Column(gettext_lazy("Issuer"), lambda row: issuer_of(row.current_version.spec), is_wide=True),
        Column(
            gettext_lazy("Domains"), lambda row: html.tags(row.current_version.spec.get("domains", [])) or html.NOTHING
        ),
        Column(gettext_lazy("People"), lambda row: up_to(row.people)),
        Column(gettext_lazy("Suspended"), lambda row: up_to(row.suspended) if row.suspended else html.NOTHING),
        Column(gettext_lazy("Changed"), lambda row: html.when(row.current_version.created_at)),
        Column(gettext_lazy("By"), author_of),
    )
    about = gettext_lazy(
        "Where members sign in with the account of their company, and which roles their groups there give them."
    )
    nothing_yet = gettext_lazy(
        "There is no identity provider. Add one here, or apply a document of kind: IdentityProvider."
    )
    page_template = "workitems/identity_provider.html"

    def documents(self, tenant_id: uuid.UUID) -> QuerySet[Any]:
        return identity_providers(tenant_id)

    def put(self, slug: str, document: dict[str, Any], *, ctx: ActingContext) -> UpsertResult[IdentityProvider]:
        return put_identity_provider(slug, parse_provider(document)[1], ctx=ctx)

    def rows(self, ctx: ActingContext) -> QuerySet[Any]:
        links = IdentityLink.objects.filter(tenant_id=ctx.tenant_id, provider=OuterRef("pk"))
        suspended = links.filter(suspended_at__isnull=False)
        return super().rows(ctx).annotate(people=_number(links), suspended=_number(suspended))

    def page_title(self, row: IdentityProvider) -> str:
        return _("Identity provider {slug}").format(slug=row.name or row.slug)

    def page(self, row: Any, *, ctx: ActingContext) -> dict[str, Any]:
        spec = row.current_version.spec
        read = read_spec(spec)
        links = _links(row)
        forms_shown = self._forms(ctx, of_row=True, key=row.slug)
        if not row.suspended:
            forms_shown = [entry for entry in forms_shown if entry[1] != _CONFIRM]
        return {
            **super().page(row, ctx=ctx),
            "forms": forms_shown,
            "spec": spec,
            "protocol": protocol_of(spec),
            "issuer": issuer_of(spec),
            "secret": as_yaml(spec["client_secret"]).strip() if spec.get("client_secret") else "",
            "scopes": read.scopes,
            "claims": [(label_of(key), name) for key, name in read.claims.items()],
            "roles": sorted(spec.get("roles", {}).items()),
            "unbound": list(unbound_groups(row.current_version, tenant_id=ctx.tenant_id)[:_SHOWN]),
            "more": _others(spec),
            "has_public_url": bool(settings.THREADA_PUBLIC_URL),
            "addresses": addresses_of(row, spec, tenant=ctx.tenant_slug),
            "people": up_to(row.people),
            "links": links[:_SHOWN],
            "are_more": row.people > _SHOWN,
        }

    @form_page(
        gettext_lazy("New identity provider"),
        form=NewProviderForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Add provider"),
        step_up=ALWAYS,
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        return self.create(call, form)

    @form_page(
        gettext_lazy("Change provider"),
        form=ProviderForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Save version"),
        confirm=REPLACE,
        step_up=ALWAYS,
    )
    def new_version(self, call: Call, form: ConsoleForm) -> Done:
        return self.save(call, form, call.key)

    @form_page(
        gettext_lazy("Edit as document"),
        form=ProviderDocumentForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Save version"),
        confirm=REPLACE,
        step_up=ALWAYS,
    )
    def edit_document(self, call: Call, form: ConsoleForm) -> Done:
        return self.save_document(call, form)

    @form_page(
        gettext_lazy("Confirm links"),
        form=ConfirmLinksForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Confirm links"),
        confirm=FormConfirmation(_confirming),
    )
    def confirm_links(self, call: Call, form: ConsoleForm) -> Done:
        confirmed = confirm_links(call.key, ctx=call.ctx)
        said = ngettext(
            "{number} link confirmed. This person can sign in again.",
            "{number} links confirmed. These people can sign in again.",
            confirmed,
        )
        return Done(said.format(number=confirmed))

    @form_page(
        gettext_lazy("Withdraw"),
        form=WithdrawProviderForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Withdraw provider"),
        confirm=WITHDRAW,
        step_up=ALWAYS,
    )
    def withdraw(self, call: Call, form: ConsoleForm) -> Done:
        withdraw_provider(call.key, ctx=call.ctx)
        return Done(_("The identity provider {key} is withdrawn.").format(key=call.key), self.list_url())


_CONFIRM: Final = gettext_lazy("Confirm links")


def protocol_of(spec: dict[str, Any]) -> str:
    return _PROTOCOLS.get(spec["protocol"], spec["protocol"])


def issuer_of(spec: dict[str, Any]) -> str:
    """Return the issuer of an OpenID provider, or the entity id of a SAML provider."""
    return str(spec.get("issuer") or spec.get("entity_id") or read_spec(spec).issuer)


def addresses_of(row: IdentityProvider, spec: dict[str, Any], *, tenant: str) -> list[tuple[str, str]]:
    """Return the addresses that the provider must know, with their names there."""
    names = {"provider_callback": _("Redirect URI")}
    if spec["protocol"] == SAML:
        names = {
            "provider_callback": _("Assertion consumer service (ACS)"),
            "provider_metadata": _("Entity id and metadata"),
        }
    base = settings.THREADA_PUBLIC_URL.rstrip("/")
    return [(label, base + reverse(f"admin:{name}", args=[tenant, row.slug])) for name, label in names.items()]


def _others(spec: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Return label, value and description of the members of a spec that have no line of their own."""
    known = SCHEMA.spec["properties"]
    return [
        (label_of(key), value, description_of(known.get(key, {})))
        for key, value in spec.items()
        if key not in _OWN_LINES
    ]


def up_to(number: int) -> str:
    """Return a number of links that were counted up to a limit."""
    return _("{number} or more").format(number=_COUNTED) if number >= _COUNTED else str(number)


def _number(links: QuerySet[IdentityLink]) -> Func:
    """Return an expression with the number of links, counted up to `_COUNTED`."""
    return Func(
        ArraySubquery(links.values("pk")[:_COUNTED]), function="cardinality", output_field=models.IntegerField()
    )


def _links(row: IdentityProvider) -> QuerySet[IdentityLink]:
    """Return the links of a provider, suspended ones first, then by name."""
    rows = IdentityLink.objects.filter(tenant_id=row.tenant_id, provider=row).select_related("user")
    return rows.order_by("suspended_at", "user__username")
