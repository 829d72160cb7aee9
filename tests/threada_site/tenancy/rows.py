"""One row of every tenant table, built from the models, so that new tables are covered at once."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.db import connection, models

from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import Tenant, TenantRow, User

# Values required by check constraints that the field itself does not declare.
_CONSTRAINED: dict[str, Any] = {
    "checkpoint.verifier_keys": [],
    "comment.audience": "everyone",
    "evidence.kind": "fallback",
    "vote.decision": "approve",
    "vote.voter_kind": "human",
    "overlay.scope_kind": "tenant",
    "notice.kind": "assigned",
    "noticemessage.channel": "mail",
    "noticemessage.status": "sent",
    "replayfinding.kind": "flip",
    "shadowresult.kind": "same",
    "legalhold.workflow": "workflow",
    "datasubject.erased_at": clock.now(),
    "searchdocument.words": "word",
    "summaryrollup.key": "key",  # the totals computed from a count have other values
}


class RowMaker:
    """Builds rows of one tenant. Referenced rows are created first, one of each model."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.principal = User.objects.create(username=f"{tenant.slug}-person", kind="human")
        self.delegate = User.objects.create(username=f"{tenant.slug}-delegate", kind="human")
        self.made: dict[type[models.Model], TenantRow] = {}

    def one_of_each(self) -> dict[type[models.Model], TenantRow]:
        with unit_of_work(self.tenant.id):
            for model in tenant_models():
                self.one(model)
        return self.made

    def copied_for(self, tenant: Tenant) -> RowMaker:
        """Return a maker with copies of the rows; `tenant` is a copy of the same tenant."""
        copied = copy(self)
        copied.tenant = tenant
        copied.made = {model: copy(row) for model, row in self.made.items()}
        return copied

    def one(self, model: type[models.Model]) -> TenantRow:
        if model not in self.made:
            row = self.build(model)
            row.save(force_insert=True)
            self.made[model] = row
        return self.made[model]

    def build(self, model: type[models.Model], **values: Any) -> Any:
        """Return an unsaved row. References may be passed as `<field>_id`."""
        row = model()
        row.tenant = self.tenant
        for field in model._meta.local_concrete_fields:
            if field.attname in values:
                setattr(row, field.attname, values[field.attname])
            elif self._has_to_be_set(field):
                setattr(row, field.attname, self._value(field))
        return row

    def _has_to_be_set(self, field: models.Field) -> bool:
        if f"{field.model._meta.model_name}.{field.name}" in _CONSTRAINED:
            return True
        return not (field.name in ("id", "tenant") or field.null or field.has_default() or field.blank)

    def _value(self, field: models.Field) -> Any:
        constrained = _CONSTRAINED.get(f"{field.model._meta.model_name}.{field.name}")
        if constrained is not None:
            return constrained
        if isinstance(field, models.ForeignKey):
            return self._reference(field)
        for kind, value in (
            (models.UUIDField, ids.new_uuid()),
            (models.DateTimeField, clock.now()),
            (models.DateField, clock.now().date()),
            (models.BinaryField, ids.new_uuid().bytes * 2),
            (models.JSONField, {}),
            (models.BooleanField, True),
            (models.CharField, _text(field)[: field.max_length or None]),
            (models.TextField, "text"),
            (models.IntegerField, 1),
            (models.FloatField, 1.0),
        ):
            if isinstance(field, kind):
                return value
        raise NotImplementedError(f"{field}: say what a row of it holds")

    def _reference(self, field: models.ForeignKey) -> Any:
        target = field.related_model
        if target is User:
            return self.delegate.id if field.name == "delegate" else self.principal.id
        if issubclass(target, TenantRow):
            return self.one(target).id
        return target.objects.create(name=f"{self.tenant.slug}:{ids.new_uuid()}").pk  # group of a role


def _text(field: models.Field) -> str:
    """Return a text for a field, another one each time if two tenants cannot have the same."""
    keys = [one.fields for one in field.model._meta.constraints if isinstance(one, models.UniqueConstraint)]
    return ids.new_uuid().hex if (field.name,) in keys else field.name


def check_constraints_now() -> None:
    """Check deferred constraints now instead of at the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")
