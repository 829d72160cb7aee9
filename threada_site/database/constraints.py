"""Constraints of tenant tables, declared in the models so that migrations create them.

`tenant_constraints()` gives a table row-level security and the unique key `(tenant_id, id)`. `TenantForeignKey` gives a
reference between two tenant tables the composite key `(tenant_id, x_id) → (tenant_id, id)`, because row-level security
does not check foreign keys. `CaseVisibility` limits reads of a case table to the cases that the actor sees.
`AppendOnly` allows inserting and reading rows, but not changing or deleting them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db import models
from django.db.backends.ddl_references import Statement

from threada_site.database.roles import APP, OWNER, PLATFORM

CURRENT_TENANT: Final = "(SELECT NULLIF(current_setting('app.tenant', true), '')::uuid)"

SEES_ALL: Final = (
    f"(SELECT current_setting('app.visibility', true) = 'tenant' OR current_user IN ('{OWNER}', '{PLATFORM}'))"
)
SEES_OWN_OF: Final = (
    "(SELECT CASE WHEN current_setting('app.visibility', true) = 'own' "
    "THEN NULLIF(current_setting('app.principal', true), '')::uuid END)"
)


class _SchemaConstraint(models.BaseConstraint):
    """A constraint that only the database checks; forms validate nothing."""

    def validate(self, *_args: Any, **_kwargs: Any) -> None:
        return None

    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        """Emit the SQL after CREATE TABLE, which cannot contain it."""
        schema_editor.deferred_sql.append(self.create_sql(model, schema_editor))

    def _identity(self) -> tuple[Any, ...]:
        return (self.name,)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._identity() == other._identity()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), *self._identity()))


class _RowPolicies(_SchemaConstraint):
    """Forced row-level security. Owner and platform see all rows; the policy `policy` with the rule `_rule` applies to
    others."""

    policy: ClassVar[str]

    def _rule(self) -> str:
        raise NotImplementedError

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        table = schema_editor.quote_name(model._meta.db_table)
        return Statement(
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; "
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY; "
            f"CREATE POLICY {self.policy} ON {table} {self._rule()}; "
            f"CREATE POLICY platform_rows ON {table} TO {OWNER}, {PLATFORM} USING (true) WITH CHECK (true)"
        )

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        table = schema_editor.quote_name(model._meta.db_table)
        return Statement(
            f"DROP POLICY {self.policy} ON {table}; DROP POLICY platform_rows ON {table}; "
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY; ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"
        )


class RowLevelSecurity(_RowPolicies):
    """Rows are visible and writable only in the transaction's tenant. Owner and platform see all rows."""

    policy = "tenant_rows"

    def _rule(self) -> str:
        return f"USING (tenant_id = {CURRENT_TENANT}) WITH CHECK (tenant_id = {CURRENT_TENANT})"


class CaseVisibility(_SchemaConstraint):
    """Rows are readable if the transaction sees the whole tenant, or if their work item names its principal.

    The policy is restrictive: it only takes rows away from those that `RowLevelSecurity` shows. Writes are not limited.
    `item` is the column with the id of the work item. `parties` are columns with principals whose own the row is; they
    are compared before `threada_names` is called, which costs a look-up for each row.

    `spares_owner`: the policy does not apply to the owner, which sees all rows anyway. A function of the owner can then
    use indexes of operators that are not leakproof, such as `@@`.
    """

    def __init__(
        self, *, name: str, item: str = "work_item_id", parties: tuple[str, ...] = (), spares_owner: bool = False
    ) -> None:
        self.item, self.parties, self.spares_owner = item, parties, spares_owner
        super().__init__(name=name)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        quote = schema_editor.quote_name
        is_own = "".join(f"{quote(column)} = {SEES_OWN_OF} OR " for column in self.parties)
        logins = f"TO {APP} " if self.spares_owner else ""
        return Statement(
            f"CREATE POLICY visible_rows ON {quote(model._meta.db_table)} AS RESTRICTIVE FOR SELECT {logins}"
            f"USING ({SEES_ALL} OR {is_own}threada_names({quote(self.item)}, {SEES_OWN_OF}))"
        )

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        return Statement(f"DROP POLICY visible_rows ON {schema_editor.quote_name(model._meta.db_table)}")

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        return (
            path,
            tuple(args),
            {
                **kwargs,
                "item": self.item,
                **({"parties": tuple(self.parties)} if self.parties else {}),
                **({"spares_owner": True} if self.spares_owner else {}),
            },
        )

    def _identity(self) -> tuple[Any, ...]:
        return (self.name, self.item, tuple(self.parties), self.spares_owner)


class AudienceVisibility(_SchemaConstraint):
    """Rows are hidden from the principals in the column `hidden_from`, in transactions that see own cases only.

    Queries hide them from these principals in other transactions too. The policy is restrictive; writes are not
    limited.
    """

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        return Statement(
            f"CREATE POLICY audience_rows ON {schema_editor.quote_name(model._meta.db_table)} AS RESTRICTIVE "
            f"FOR SELECT USING ({SEES_ALL} OR NOT COALESCE({SEES_OWN_OF} = ANY(hidden_from), true))"
        )

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        return Statement(f"DROP POLICY audience_rows ON {schema_editor.quote_name(model._meta.db_table)}")


class InstanceRows(_RowPolicies):
    """Rows of the instance, not of a tenant, which only the platform writes.

    `readable` says who else may read them: `nobody`, `everybody`, or the `tenant` in the column `log_id`, in its own
    transaction.
    """

    policy = "readable_rows"
    _READABLE: Final = {"nobody": "false", "everybody": "true", "tenant": f"log_id = {CURRENT_TENANT}"}

    def __init__(self, *, name: str, readable: str = "nobody") -> None:
        self.readable = readable
        super().__init__(name=name)

    def _rule(self) -> str:
        return f"FOR SELECT USING ({self._READABLE[self.readable]})"

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        return path, tuple(args), {**kwargs, "readable": self.readable}

    def _identity(self) -> tuple[Any, ...]:
        return (self.name, self.readable)


class AppendOnly(_SchemaConstraint):
    """A trigger that refuses UPDATE, DELETE and TRUNCATE.

    Retention, which takes the platform's role, may delete rows and may empty the columns in `emptied`, but not change
    them.
    """

    def __init__(self, *, name: str, emptied: tuple[str, ...] = ()) -> None:
        self.emptied = emptied
        super().__init__(name=name)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        table = schema_editor.quote_name(model._meta.db_table)
        columns = ", ".join(schema_editor.quote_value(model._meta.get_field(name).column) for name in self.emptied)
        return Statement(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION threada_refuse_change({columns}); "
            f"CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION threada_refuse_change()"
        )

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        table = schema_editor.quote_name(model._meta.db_table)
        return Statement(f"DROP TRIGGER append_only ON {table}; DROP TRIGGER append_only_truncate ON {table}")

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        return path, tuple(args), {**kwargs, **({"emptied": tuple(self.emptied)} if self.emptied else {})}

    def _identity(self) -> tuple[Any, ...]:
        return (self.name, tuple(self.emptied))


class TenantForeignKey(_SchemaConstraint):
    """The composite foreign key behind a `ForeignKey(db_constraint=False)` between tenant tables."""

    def __init__(self, *, field: str, name: str) -> None:
        self.field = field
        super().__init__(name=name)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        """Defer the key to the end of the migration: the target's `(tenant_id, id)` may be created later in it.

        Return an empty statement: Django skips it when it adds a constraint to a table, and executes it among the
        deferred ones when it creates a table whose columns have defaults.
        """
        quote = schema_editor.quote_name
        field = model._meta.get_field(self.field)
        target = field.related_model._meta.db_table  # type: ignore[union-attr]
        schema_editor.deferred_sql.append(
            Statement(
                f"ALTER TABLE {quote(model._meta.db_table)} ADD CONSTRAINT {quote(self.name)} "
                f"FOREIGN KEY (tenant_id, {quote(field.column)}) "  # type: ignore[union-attr]
                f"REFERENCES {quote(target)} (tenant_id, id) DEFERRABLE INITIALLY DEFERRED"
            )
        )
        return ""

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        quote = schema_editor.quote_name
        return Statement(f"ALTER TABLE {quote(model._meta.db_table)} DROP CONSTRAINT {quote(self.name)}")

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        return path, tuple(args), {**kwargs, "field": self.field}

    def _identity(self) -> tuple[Any, ...]:
        return (self.name, self.field)


def tenant_constraints(table: str, *, references: tuple[str, ...] = ()) -> list[models.BaseConstraint]:
    """Return the constraints of a tenant table: row-level security, `(tenant_id, id)`, and its references to tenant
    tables."""
    return [
        RowLevelSecurity(name=f"{table}_rls"),
        models.UniqueConstraint(fields=["tenant", "id"], name=f"{table}_tenant_id_key"),
        *(TenantForeignKey(field=field, name=f"{table}_{field}_fk") for field in references),
    ]
