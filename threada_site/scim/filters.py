"""SQL of SCIM filters. A filter that has no SQL here is refused, not evaluated row by row."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, ClassVar, Final

from scim2_models import InvalidFilterException, Resource, ScimFilter
from scim2_models.path import AttributeBinding, Comparison, FilterVisitor, LogicalExpr, Not, Present, ValuePath
from scim2_models.path.expressions import AttrPath, CompareOperator, FilterNode, LogicalOperator

from threada_site.kernel import ids
from threada_site.scim.schemas import ENTERPRISE, User

type Sql = tuple[str, list[Any]]

MOST_CHARACTERS: Final = 2000
_ORDER: Final = {
    CompareOperator.gt: ">",
    CompareOperator.ge: ">=",
    CompareOperator.lt: "<",
    CompareOperator.le: "<=",
}
_PATTERNS: Final = {CompareOperator.co: "%{}%", CompareOperator.sw: "{}%", CompareOperator.ew: "%{}"}
_NEVER: Final[Sql] = ("false", [])


def sql_of(text: str, model: type[Resource[Any]]) -> Sql:
    """Return the condition of a filter on a table. An attribute that `model` does not have matches nothing.

    Raise `InvalidFilterException` for an attribute or operator that has no SQL.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidFilterException(detail=f"A filter has at most {MOST_CHARACTERS} characters.")
    bound = ScimFilter[model](text)  # type: ignore[valid-type]
    visitor: _Visitor = _UserVisitor(bound) if issubclass(model, User) else _GroupVisitor(bound)
    return visitor.visit(bound.ast)


class _Visitor(FilterVisitor[Sql]):
    """Base of both tables. Every condition is true or false, never null, so that `not` can be applied to it."""

    id_column: ClassVar[str]
    id_prefix: ClassVar[str]
    columns: ClassVar[dict[str, str]]
    """Attribute → expression that is never null."""

    def __init__(self, bound: ScimFilter[Any]) -> None:
        self.bound = bound

    def visit_logical_expr(self, node: LogicalExpr) -> Sql:
        parts = [self.visit(term) for term in node.terms]
        joined = (" AND " if node.op == LogicalOperator.and_ else " OR ").join(sql for sql, _ in parts)
        return f"({joined})", [value for _, values in parts for value in values]

    def visit_not(self, node: Not) -> Sql:
        sql, values = self.visit(node.expr)
        return f"(NOT {sql})", values

    def visit_comparison(self, node: Comparison) -> Sql:
        binding = self.bound.resolve_comparison(node.attr_path, strict=False)
        return _NEVER if binding is None else self.compare(binding, node)

    def visit_present(self, node: Present) -> Sql:
        binding = self.bound.resolve(node.attr_path, strict=False)
        return _NEVER if binding is None else self.present(binding)

    def visit_value_path(self, node: ValuePath) -> Sql:
        raise _unsupported(node.attr_path)

    def compare(self, binding: AttributeBinding, node: Comparison) -> Sql:
        name = _name(binding)
        value = _text(binding.comparable(node.value))
        if name == "id":
            return self._compare_id(node.op, value, node.attr_path)
        if name in ("meta.created", "meta.lastModified"):
            return _compare_time("created_at" if name == "meta.created" else "modified_at", node)
        if name == "externalId":
            if node.op is CompareOperator.eq and value:
                return "external_id = %s", [value]
            return _compare_text("NULLIF(external_id, '')", node.op, value, node.attr_path)
        if name in self.columns:
            return _compare_present(self.columns[name], node.op, value, node.attr_path)
        return self.compare_stored(binding, node.op, value, node.attr_path)

    def present(self, binding: AttributeBinding) -> Sql:
        name = _name(binding)
        if name in ("id", "meta", "meta.created", "meta.lastModified") or name in self.columns:
            return "true", []
        if name == "externalId":
            return "external_id <> ''", []
        return self.present_stored(binding)

    def compare_stored(self, binding: AttributeBinding, op: CompareOperator, value: Any, path: AttrPath) -> Sql:
        raise _unsupported(path)

    def present_stored(self, binding: AttributeBinding) -> Sql:
        raise InvalidFilterException(detail=f"{_name(binding)} cannot be filtered on here.")

    def _compare_id(self, op: CompareOperator, value: Any, path: AttrPath) -> Sql:
        if op not in (CompareOperator.eq, CompareOperator.ne):
            raise _unsupported(path)
        found = ids.parse_public_id(self.id_prefix, value) if isinstance(value, str) else None
        is_equal = op is CompareOperator.eq
        if found is None:
            return ("false" if is_equal else "true"), []
        return f"{self.id_column} {'=' if is_equal else '<>'} %s", [uuid.UUID(bytes=found.bytes)]


class _UserVisitor(_Visitor):
    id_column = "user_id"
    id_prefix = ids.PRINCIPAL
    columns: ClassVar = {"userName": "user_name_key", "active": "is_active"}

    def compare_stored(self, binding: AttributeBinding, op: CompareOperator, value: Any, path: AttrPath) -> Sql:
        if binding.field_name == "emails":
            inner = _compare_text(_of_mail("value"), op, value, path)
            if _name(binding) not in ("emails.value", "emails"):
                raise _unsupported(path)
            if op is CompareOperator.ne:
                sql, values = _compare_text(_of_mail("value"), CompareOperator.eq, value, path)
                return f"NOT {_some_mail(sql)}", values
            return _some_mail(inner[0]), inner[1]
        if binding.is_multivalued or binding.target_type is not str:
            raise _unsupported(path)
        return _compare_text(_stored(binding), op, value, path)

    def present_stored(self, binding: AttributeBinding) -> Sql:
        if binding.is_multivalued and binding.sub_field_name is not None:
            return super().present_stored(binding)
        keys = _keys(binding)
        return "COALESCE(attributes #> %s NOT IN ('null', '\"\"', '[]', '{}'), false)", [keys]

    def visit_value_path(self, node: ValuePath) -> Sql:
        binding = self.bound.resolve(node.attr_path, strict=False)
        if binding is None:
            return _NEVER
        if binding.field_name != "emails":
            raise _unsupported(node.attr_path)
        sql, values = _MailVisitor().visit(node.val_filter)
        return _some_mail(sql), values


class _MailVisitor(FilterVisitor[Sql]):
    """Conditions on one entry of `emails`."""

    def visit_logical_expr(self, node: LogicalExpr) -> Sql:
        parts = [self.visit(term) for term in node.terms]
        joined = (" AND " if node.op == LogicalOperator.and_ else " OR ").join(sql for sql, _ in parts)
        return f"({joined})", [value for _, values in parts for value in values]

    def visit_not(self, node: Not) -> Sql:
        sql, values = self.visit(node.expr)
        return f"(NOT {sql})", values

    def visit_comparison(self, node: Comparison) -> Sql:
        name = _mail_part(node.attr_path)
        if name == "primary":
            if node.op not in (CompareOperator.eq, CompareOperator.ne):
                raise _unsupported(node.attr_path)
            wanted = str(node.value).lower()
            sign = "IS NOT DISTINCT FROM" if node.op is CompareOperator.eq else "IS DISTINCT FROM"
            return f"(mail ->> 'primary') {sign} %s", [None if node.value is None else wanted]
        value = node.value.lower() if isinstance(node.value, str) else node.value
        return _compare_text(_of_mail(name), node.op, _text(value), node.attr_path)

    def visit_present(self, node: Present) -> Sql:
        return f"COALESCE(mail ->> '{_mail_part(node.attr_path)}', '') <> ''", []

    def visit_value_path(self, node: ValuePath) -> Sql:
        raise _unsupported(node.attr_path)


class _GroupVisitor(_Visitor):
    id_column = "id"
    id_prefix = ids.PROVISIONED_GROUP
    columns: ClassVar = {"displayName": "display_name_key"}

    def compare_stored(self, binding: AttributeBinding, op: CompareOperator, value: Any, path: AttrPath) -> Sql:
        if _name(binding) not in ("members.value", "members") or op is not CompareOperator.eq:
            raise _unsupported(path)
        person = ids.parse_public_id(ids.PRINCIPAL, value) if isinstance(value, str) else None
        if person is None:
            return _NEVER
        return (
            (
                "EXISTS (SELECT FROM tenancy_provisionedgroupmember i JOIN tenancy_provisionedperson p "
                "ON p.tenant_id = i.tenant_id AND p.id = i.person_id WHERE i.tenant_id = "
                "tenancy_provisionedgroup.tenant_id AND i.group_id = tenancy_provisionedgroup.id AND p.user_id = %s)"
            ),
            [uuid.UUID(bytes=person.bytes)],
        )

    def visit_value_path(self, node: ValuePath) -> Sql:
        inner: FilterNode = node.val_filter
        if isinstance(inner, Comparison) and inner.attr_path.attr.lower() == "value":
            path = AttrPath(node.attr_path.attr, "value", node.attr_path.uri)
            return self.visit_comparison(Comparison(path, inner.op, inner.value))
        raise _unsupported(node.attr_path)


def _compare_present(column: str, op: CompareOperator, value: Any, path: AttrPath) -> Sql:
    """Compare a column that is never null, without an expression around it, so that its index serves."""
    if value is None:
        return ("true" if op is CompareOperator.ne else "false"), []
    if op is CompareOperator.eq:
        return f"{column} = %s", [value]
    if op is CompareOperator.ne:
        return f"{column} <> %s", [value]
    return _compare_text(column, op, value, path)


def _compare_text(expression: str, op: CompareOperator, value: Any, path: AttrPath) -> Sql:
    if value is None:
        if op in (CompareOperator.eq, CompareOperator.ne):
            return f"{expression} IS {'' if op is CompareOperator.eq else 'NOT '}NULL", []
        return _NEVER
    if op is CompareOperator.eq:
        return f"{expression} IS NOT DISTINCT FROM %s", [value]
    if op is CompareOperator.ne:
        return f"{expression} IS DISTINCT FROM %s", [value]
    if not isinstance(value, str):
        raise _unsupported(path)
    if op in _PATTERNS:
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return f"COALESCE({expression} LIKE %s, false)", [_PATTERNS[op].format(escaped)]
    return f'COALESCE({expression} COLLATE "C" {_ORDER[op]} %s, false)', [value]


def _compare_time(column: str, node: Comparison) -> Sql:
    try:
        instant = node.value if isinstance(node.value, datetime) else datetime.fromisoformat(str(node.value))
    except ValueError:
        raise InvalidFilterException(
            detail=f"{node.attr_path} is compared with a time, as RFC 3339 writes it."
        ) from None
    operator = {CompareOperator.eq: "=", CompareOperator.ne: "<>", **_ORDER}.get(node.op)
    if operator is None or instant.tzinfo is None:
        raise _unsupported(node.attr_path)
    return f"{column} {operator} %s", [instant]


def _stored(binding: AttributeBinding) -> str:
    keys = ", ".join(f"'{key}'" for key in _keys(binding))
    text = f"(attributes #>> ARRAY[{keys}])"
    return text if binding.case_exact else f"lower({text})"


def _keys(binding: AttributeBinding) -> list[str]:
    """Return the keys of an attribute in the stored document. They are names of the model, not of the client."""
    keys = [_alias(binding.model, binding.field_name)]
    if binding.model.__name__ == "EnterpriseUser":
        keys.insert(0, ENTERPRISE)
    if binding.sub_field_name is not None and binding.target_model is not None:
        keys.append(_alias(binding.target_model, binding.sub_field_name))
    return keys


def _name(binding: AttributeBinding) -> str:
    return ".".join(_keys(binding))


def _alias(model: type[Any], field: str) -> str:
    return str(model.model_fields[field].serialization_alias or field)


def _of_mail(part: str) -> str:
    return f"lower(mail ->> '{part}')"


def _some_mail(condition: str) -> str:
    return (
        f"EXISTS (SELECT FROM jsonb_array_elements(COALESCE(attributes -> 'emails', '[]')) AS mail WHERE {condition})"
    )


def _mail_part(path: AttrPath) -> str:
    name = path.attr.lower()
    if name not in ("value", "type", "primary") or path.sub_attr or path.uri:
        raise _unsupported(path)
    return name


def _text(value: Any) -> Any:
    if isinstance(value, str) and ("\x00" in value or any("\ud800" <= one <= "\udfff" for one in value)):
        raise InvalidFilterException(detail="A filter contains no NUL and no half of a character.")
    return value


def _unsupported(path: AttrPath) -> InvalidFilterException:
    return InvalidFilterException(detail=f"{path} cannot be filtered on in this way.")
