"""The page docs/reference/documents.md: fields of every kind of document, facts, CEL and default roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policies.language.facts import FACTS
from threada_site.identity.default_roles import DEFAULT_ROLES, OWN_ROLES
from threada_site.kernel.context import ALL_SCOPES
from workitems.configuration.kinds import KINDS
from workitems.configuration.reference_fields import about_field, field_table, is_object, sentence_of, type_of

_HEAD: Final = """# Documents

All fields of all kinds of documents, from the schemas that check them. `manage.py write_documents` writes this page; a
test compares it with the schemas. [Kinds of documents](../reference-document-kinds.md) says where the schemas are and
how editors use them; [typical mistakes](document-mistakes.md) shows the answers to faulty documents.

A document has `kind`, `id` and `spec` (an `Overlay` has its fields at the top). Fields marked with * are required.
`[]` stands for each element of a list, `{}` for each value of an object: `actions{}` is each action. A field with
several forms has a line for each. The lines of a connector have an example each, and a default unless the field is
required.
"""
CEL_EXAMPLES: Final = (
    ("comparisons", "item.payload.amount_minor >= 1000000 && item.data_class != 'public'"),
    ("arithmetic with numbers", "item.payload.net * 2 + item.payload.tax > 1000"),
    ("conditional", "item.channel == 'web' ? item.confidence > 0.5 : item.confidence > 0.9"),
    ("membership", "item.payload.vendor in lists.sanctioned_vendors || 'pii' in item.risk_flags"),
    ("`has`", "has(item.payload.vendor) && item.payload.vendor != ''"),
    ("`all`, `exists`, `exists_one`", "item.payload.lines.exists(line, line.amount_minor > 100)"),
    ("`size`", "size(item.risk_flags) > 0"),
    ("`startsWith`, `endsWith`, `contains`", "item.payload.vendor.startsWith('ACME')"),
    ("`int`, `double`, `string`", "double(item.payload.amount_minor) / 100.0 > 9.5"),
    ("`timestamp`, `duration`", "timestamp(ctx.now) - timestamp(item.payload.due) > duration('48h')"),
)
"""Constructs that conditions can use, with an example each."""
CEL_EXCLUDED: Final = (
    ("`matches`: regular expressions", "item.payload.vendor.matches('^A')"),
    ("`map` and `filter`", "item.payload.lines.filter(line, line.amount_minor > 1).size() > 0"),
    ("`+` with texts and lists", "item.channel + item.workflow == 'webpay'"),
)
"""Parts of CEL that conditions cannot use, because their time or memory has no limit."""
_CEL: Final = """
## Conditions

`when` of a rule is a CEL expression ([cel.dev](https://cel.dev)) over `item`, `ctx`, `input` (the input of the action)
and `lists` (by name: `lists.sanctioned_vendors`). It returns true or false. `${ … }` in actions is CEL, too, without
`lists`.

| part of CEL | example |
|---|---|
%s
Left out, because their time or memory has no limit:

| part of CEL | example of what is refused |
|---|---|
%s
Missing keys of the payload are errors, and an error denies: use `has`. Conditions are checked against the payload
schemas of the workflows that they reach, and have a limited cost.
"""


_ROLES: Final = """
## Default roles

Every tenant has these roles. A document of kind `Role` changes them; removing it sets them back.

| role | scopes | work items |
|---|---|---|
"""


def documents_markdown() -> str:
    """Return the page."""
    parts = [_HEAD]
    for kind, of in KINDS.items():
        schema = of.schema()
        definitions = schema.get("$defs", {})
        parts.append(f"\n## {kind}\n\n{sentence_of(schema)}\n")
        properties = schema["properties"]
        spec = properties.get("spec")
        top = {
            **schema,
            "properties": {name: node for name, node in properties.items() if name not in ("kind", "spec")},
        }
        parts.append(field_table(top, definitions))
        if isinstance(spec, Mapping) and spec.get("properties"):
            parts.append(f"\n`spec`:\n{field_table(dict(spec), definitions)}")
        for name, definition in definitions.items():
            connector = name.removeprefix("integration-") if kind == "Integration" else ""
            if connector or is_object(definition):
                heading = f"Connector {connector}" if connector else f"`{name}`"
                about = "\n\n".join(filter(None, (heading, sentence_of(definition))))
                parts.append(f"\n### {about}\n{field_table(definition, definitions, is_complete=bool(connector))}")
    parts += [_facts(), _cel(), _roles()]
    return "".join(parts)


def _facts() -> str:
    parts = ["\n## Facts\n\nFacts that conditions read, and that tests of policies give. They are always complete.\n"]
    for variable, facts in FACTS.items():
        rows = [
            f"| `{variable}.{name}` | {type_of(dict(of))} | {about_field(dict(of))} |\n" for name, of in facts.items()
        ]
        parts.append("\n| fact | value | |\n|---|---|---|\n" + "".join(rows))
    return "".join(parts)


def _cel() -> str:
    tables = [
        "".join(f"| {part} | `{example}` |\n".replace("||", "\\|\\|") for part, example in rows)
        for rows in (CEL_EXAMPLES, CEL_EXCLUDED)
    ]
    return _CEL.replace("%s", tables[0], 1).replace("%s", tables[1], 1)


def _roles() -> str:
    parts = [_ROLES]
    for role, scopes in DEFAULT_ROLES.items():
        held = "every scope" if scopes == ALL_SCOPES else ", ".join(f"`{scope}`" for scope in sorted(scopes))
        sees = "own, and those that name them" if role in OWN_ROLES else "all of the tenant"
        parts.append(f"| `{role}` | {held} | {sees} |\n")
    return "".join(parts)
