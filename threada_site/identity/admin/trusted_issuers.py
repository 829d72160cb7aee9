"""Console pages of trusted issuers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from threada_site.admin import html
from threada_site.admin.actions import Call, Done
from threada_site.admin.forms import ConsoleForm, form_page
from threada_site.admin.lists import Column
from threada_site.admin.reauthentication import ALWAYS
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
from threada_site.identity.selectors import principals_of_tenant
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer, withdraw_trusted_issuer
from threada_site.identity.trusted_issuers.document import (
    DEFAULT_MINUTES,
    TRUSTED_ISSUER_SCHEMA,
    parse_trusted_issuer,
)
from threada_site.identity.trusted_issuers.selectors import trusted_issuers
from threada_site.kernel.context import ActingContext, Scope
from threada_site.tenancy.models import User
from threada_site.tenancy.trusted_issuer_models import TrustedIssuer, keys_source
from threada_site.tenancy.upsert import UpsertResult

_INTRO = gettext_lazy(
    "Services and agents authenticate with tokens of this issuer. Everybody to whom the issuer gives a token with the "
    "audience and the claims of a mapping acts as the service or agent of that mapping, so conditions must name claims "
    "that only you control, such as the repository and the branch."
)
_MAPPING = """\
- when: claims.repository == "acme/payments" && claims.ref == "refs/heads/main"
  principal: deployer
  scopes: [workitems:read, workitems:write]
  lifetime_minutes: 10
"""


class NewTrustedIssuerForm(NewDocumentForm):
    intro = _INTRO
    schema = TRUSTED_ISSUER_SCHEMA.spec

    def prepare(self) -> None:
        super().prepare()
        self.fields["mappings"].widget.attrs["placeholder"] = _MAPPING


class TrustedIssuerForm(SpecForm):
    intro = format_lazy("{} {}", _INTRO, gettext_lazy("A change is effective for the next request."))
    schema = TRUSTED_ISSUER_SCHEMA.spec


class TrustedIssuerDocumentForm(DocumentForm):
    intro = _INTRO
    kind = "TrustedIssuer"
    schema = TRUSTED_ISSUER_SCHEMA.spec


class WithdrawTrustedIssuerForm(WithdrawForm):
    intro = gettext_lazy("Its tokens are refused from the next request on. Services, agents and receipts stay.")


@dataclass(frozen=True, slots=True)
class ShownMapping:
    """A mapping on the page. `principal` is None if no member has the `name`, or a claim gives it."""

    when: str
    name: str
    principal: User | None
    from_claim: str
    created_as: str
    roles: Any
    scopes: Any
    minutes: int


@admin.register(TrustedIssuer)
class TrustedIssuerAdmin(StewardDocumentAdmin):
    kind = "TrustedIssuer"
    schema = TRUSTED_ISSUER_SCHEMA.spec
    argument = "trusted_issuer"
    operations = ("put_trusted_issuer", "withdraw_trusted_issuer")
    heading = gettext_lazy("Trusted issuers")
    columns = (
        Column(gettext_lazy("Trusted issuer"), lambda row: row.slug),
        Column(gettext_lazy("Issuer"), lambda row: row.current_version.spec["issuer"], is_wide=True),
        Column(gettext_lazy("Acts as"), lambda row: html.tags(principals_of(row.current_version.spec))),
        Column(gettext_lazy("Keys"), lambda row: html.badge(state_of_keys(row))),
        Column(gettext_lazy("Changed"), lambda row: html.when(row.current_version.created_at)),
        Column(gettext_lazy("By"), author_of),
    )
    about = gettext_lazy("Issuers whose signed tokens authenticate services and agents, without a stored credential.")
    nothing_yet = gettext_lazy("No issuer is trusted. Add one here, or apply a document of kind: TrustedIssuer.")
    page_template = "identity/trusted_issuer.html"

    def documents(self, tenant_id: uuid.UUID) -> QuerySet[Any]:
        return trusted_issuers(tenant_id)

    def put(self, slug: str, document: dict[str, Any], *, ctx: ActingContext) -> UpsertResult[TrustedIssuer]:
        return upsert_trusted_issuer(slug, parse_trusted_issuer(document), ctx=ctx)

    def page(self, row: TrustedIssuer, *, ctx: ActingContext) -> dict[str, Any]:
        assert row.current_version is not None  # noqa: S101 - rows() leaves out those without one
        spec = row.current_version.spec
        found: Any = row.keys if keys_source(spec) else spec["jwks"]
        return {
            **super().page(row, ctx=ctx),
            "spec": spec,
            "algorithms": spec.get("algorithms", ["RS256"]),
            "mappings": shown_mappings(spec["mappings"], tenant_id=ctx.tenant_id),
            "source": keys_source(spec),
            "keys_state": state_of_keys(row),
            "keys": len(found["keys"]) if found else 0,
        }

    @form_page(
        gettext_lazy("New trusted issuer"),
        form=NewTrustedIssuerForm,
        scope=Scope.WORKFLOW_MANAGE,
        submit=gettext_lazy("Trust this issuer"),
        step_up=ALWAYS,
    )
    def new(self, call: Call, form: ConsoleForm) -> Done:
        return self.create(call, form)

    @form_page(
        gettext_lazy("Change issuer"),
        form=TrustedIssuerForm,
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
        form=TrustedIssuerDocumentForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Save version"),
        confirm=REPLACE,
        step_up=ALWAYS,
    )
    def edit_document(self, call: Call, form: ConsoleForm) -> Done:
        return self.save_document(call, form)

    @form_page(
        gettext_lazy("Withdraw"),
        form=WithdrawTrustedIssuerForm,
        scope=Scope.WORKFLOW_MANAGE,
        of_row=True,
        submit=gettext_lazy("Withdraw issuer"),
        confirm=WITHDRAW,
        step_up=ALWAYS,
    )
    def withdraw(self, call: Call, form: ConsoleForm) -> Done:
        withdraw_trusted_issuer(call.key, ctx=call.ctx)
        return Done(_("The trusted issuer {key} is withdrawn.").format(key=call.key), self.list_url())


def principals_of(spec: dict[str, Any]) -> list[str]:
    """Return the names of services and agents that the mappings name, or the expressions that give them."""
    named = (mapping.get("principal") or mapping.get("principal_from", "") for mapping in spec["mappings"])
    return list(dict.fromkeys(named))


def state_of_keys(row: TrustedIssuer) -> str:
    """Return the state of the keys: `inline`, `not fetched yet`, `failing` or `ready`."""
    assert row.current_version is not None  # noqa: S101 - rows() leaves out those without one
    source = keys_source(row.current_version.spec)
    if not source:
        return "inline"
    if row.keys_problem:
        return "failing"
    return "ready" if row.keys_source == source and row.keys_fetched_at is not None else _("not fetched yet")


def shown_mappings(mappings: list[dict[str, Any]], *, tenant_id: uuid.UUID) -> list[ShownMapping]:
    """Return the mappings with the services and agents that they name."""
    names = {mapping.get("principal", "") for mapping in mappings}
    found = {user.username: user for user in principals_of_tenant(tenant_id).filter(username__in=names)}
    return [
        ShownMapping(
            when=mapping["when"],
            name=mapping.get("principal", ""),
            principal=found.get(mapping.get("principal", "")),
            from_claim=mapping.get("principal_from", ""),
            created_as=f"{create['kind']} of {create['owner']}" if (create := mapping.get("create")) else "",
            roles=mapping.get("roles"),
            scopes=mapping["scopes"],
            minutes=mapping.get("lifetime_minutes", DEFAULT_MINUTES),
        )
        for mapping in mappings
    ]
