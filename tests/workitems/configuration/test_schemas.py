"""Published JSON Schemas of documents."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from integrations.documents import read_integration
from policies.documents.calendar import parse_calendar
from policies.documents.channel import parse_channel
from policies.documents.list import parse_list
from policies.documents.overlay import parse_overlay
from policies.documents.pack import parse_pack
from policies.documents.policy import parse_policy
from policies.documents.workflow import parse_workflow
from policies.language.facts import FACTS, VARIABLES
from tests.workitems.configuration.test_export import EVERYTHING
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel.cel import ExpressionError, check_typed, compile_expression
from threada_site.kernel.documents.reader import load_documents
from threada_site.kernel.errors import DocumentInvalid, PolicyDocumentInvalid
from workitems.configuration.kinds import KINDS
from workitems.configuration.reference_fields import field_table
from workitems.configuration.reference_page import CEL_EXAMPLES, CEL_EXCLUDED, documents_markdown
from workitems.configuration.schemas import published_schema, schema_names
from workitems.retention.rules import parse_retention

ROOT = Path(settings.THREADA_BASE_DIR)
DEMO = sorted((ROOT / "threada_site" / "runtime" / "demo").glob("*.yaml"))
every_schema = pytest.mark.parametrize("name", schema_names())


def schema_of(name: str) -> dict[str, Any]:
    schema = published_schema(name)
    assert schema is not None
    return schema


def fields(schema: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field that a schema describes, except in conditions."""
    if isinstance(schema, list):
        for index, child in enumerate(schema):
            yield from fields(child, f"{place}/{index}")
    if not isinstance(schema, dict):
        return
    for key, child in schema.items():
        if key == "properties":
            for name, of in child.items():
                yield f"{place}/{name}", of
                yield from fields(of, f"{place}/{name}")
        elif key not in ("if", "then", "examples", "default", "not"):
            yield from fields(child, f"{place}/{key}")


@every_schema
def test_schemas_are_valid(name: str) -> None:
    schema = schema_of(name)
    assert jsonschema_rs.meta.is_valid(schema)
    assert jsonschema_rs.Draft202012Validator(schema, offline=True)
    assert json.loads(json.dumps(schema)) == schema


@every_schema
def test_every_field_is_described(name: str) -> None:
    fixed = ("kind", "stages")
    bare = [
        place
        for place, of in fields(schema_of(name))
        if not {"description", "$ref"} & of.keys() and place.rpartition("/")[2] not in fixed
    ]
    assert bare == []


@pytest.mark.parametrize("text", [EVERYTHING, *(path.read_text() for path in DEMO)])
def test_documents_that_can_be_applied_match(text: str) -> None:
    whole = jsonschema_rs.Draft202012Validator(schema_of("document"), validate_formats=True)
    for document in load_documents(text, source="test"):
        single = jsonschema_rs.Draft202012Validator(schema_of(document.value["kind"]), validate_formats=True)
        assert [error.message for error in single.iter_errors(document.value)] == []
        assert [error.message for error in whole.iter_errors(document.value)] == []


def test_a_schema_finds_errors_in_documents_of_packs() -> None:
    channel = {"kind": "Channel", "id": "web", "spec": {"nam": "Web"}}
    pack = {"kind": "Pack", "id": "p", "spec": {"version": "1", "documents": [channel]}}
    for name in ("pack", "document"):
        found = list(jsonschema_rs.Draft202012Validator(schema_of(name)).iter_errors(pack))
        assert [error.instance_path for error in found] == [["spec", "documents", 0, "spec"]]


PARSERS: dict[str, Callable[[Any], object]] = {
    "Calendar": parse_calendar,
    "Channel": parse_channel,
    "Integration": lambda value: read_integration(value["spec"]),
    "List": parse_list,
    "Overlay": parse_overlay,
    "Pack": parse_pack,
    "Policy": parse_policy,
    "Retention": parse_retention,
    "TrustedIssuer": parse_trusted_issuer,
    "Workflow": parse_workflow,
}
PARSED = [
    document.value
    for text in (EVERYTHING, *(path.read_text() for path in DEMO))
    for document in load_documents(text, source="test")
    if document.value["kind"] in PARSERS
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of everything in a document except its kind and id."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        if path or key not in ("kind", "id"):
            yield (*path, key)
            yield from places(value[key], (*path, key))


@pytest.mark.parametrize("document", PARSED, ids=lambda document: document["kind"])
@pytest.mark.parametrize("change", ["misspelt", 1, None, [], {}, "x", {"env": []}])
def test_a_document_with_an_error_anywhere_is_refused_or_parsed(document: Any, change: Any) -> None:
    for path in places(document):
        changed = copy.deepcopy(document)
        parent: Any = changed
        for key in path[:-1]:
            parent = parent[key]
        if change != "misspelt":
            parent[path[-1]] = copy.deepcopy(change)
        elif isinstance(parent, dict):
            parent[f"{path[-1]}x"] = parent.pop(path[-1])
        if "spec" in changed or changed["kind"] != "Integration":
            with suppress(DocumentInvalid, PolicyDocumentInvalid):
                PARSERS[changed["kind"]](changed)


def test_a_misspelt_field_is_the_only_error() -> None:
    rule = {"id": "r", "whem": "true", "effect": "allow", "reason": "FINE"}
    for value, parse, pointer in (
        ({"rules": [rule]}, parse_policy, "/rules/0/whem"),
        ({"kind": "Calendar", "id": "office", "spce": {}}, parse_calendar, "/spce"),
        ({"policy": "p", "scope": {"tenat": True, "x": 1}}, parse_overlay, "/scope/tenat"),
    ):
        with pytest.raises((DocumentInvalid, PolicyDocumentInvalid)) as refused:
            parse(value)
        assert refused.value.errors[0].pointer == pointer
        assert {error.code for error in refused.value.errors} == {"unknown_field"}


def test_schemas_are_served_without_a_credential(client: Client) -> None:
    answer = client.get("/schemas/policy.json")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/schema+json")
    assert answer.json() == schema_of("policy")
    assert "max-age" in answer.headers["Cache-Control"]
    again = client.get("/schemas/policy.json", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/schemas/polcy.json").json()["reason_code"] == "not_found"


def test_the_command_lists_and_prints_schemas(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("schema")
    assert capsys.readouterr().out.split() == schema_names()
    call_command("schema", "Policy")
    assert json.loads(capsys.readouterr().out) == schema_of("policy")
    with pytest.raises(SystemExit) as refused:
        call_command("schema", "polcy")
    assert refused.value.code == 2
    assert "Use one of role, group" in capsys.readouterr().err


def test_the_reference_lists_every_kind() -> None:
    text = (ROOT / "docs" / "reference-document-kinds.md").read_text()
    listed = re.findall(r"^\| `(\w+)` \|.*`/schemas/(\w+)\.json` \|$", text, re.MULTILINE)
    assert listed == [(kind, kind.lower()) for kind in KINDS]


def is_refused(expression: str) -> bool:
    try:
        compile_expression(expression, variables=VARIABLES)
    except ExpressionError:
        return True
    return any(check_typed(expression, facts=FACTS, payload_schema=True, lists=(), variables=VARIABLES))


def test_the_reference_page_is_current_and_its_expressions_are_what_it_says() -> None:
    page = ROOT / "docs" / "reference" / "documents.md"
    assert page.read_text() == documents_markdown(), "run manage.py write_documents"
    for _, example in CEL_EXAMPLES:
        assert compile_expression(example, variables=VARIABLES).may_be_truth
    for _, example in CEL_EXCLUDED:
        assert is_refused(example), example


def field_paths(node: Any, root: Any, path: str = "", seen: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield path and schema of every field that a schema allows, wherever it stands in the schema."""
    if not isinstance(node, dict):
        return
    reference = node.get("$ref")
    if reference is not None and reference not in seen and path:
        target = root["$defs"][reference.rpartition("/")[2]]
        if not target.get("properties"):  # other definitions have a table of their own
            yield from field_paths(target, root, path, (*seen, reference))
    for name, child in node.get("properties", {}).items():
        where = f"{path}.{name}".removeprefix(".")
        if child.get("not") != {}:
            yield where, child
        yield from field_paths(child, root, where, seen)
    for mark, children in (
        ("[]", [node.get("items"), node.get("contains"), *node.get("prefixItems", ())]),
        ("{}", [node.get("additionalProperties"), *node.get("patternProperties", {}).values()]),
        ("", [node.get(key) for key in ("then", "else")]),
        ("", [branch for key in ("oneOf", "anyOf", "allOf") for branch in node.get(key, ())]),
    ):
        for child in children:
            yield from field_paths(child, root, path + mark, seen)


def lines_of(page: str) -> dict[str, dict[str, list[str]]]:
    """Return the lines of fields: by heading, and by path."""
    found: dict[str, dict[str, list[str]]] = {}
    kind = part = ""
    for line in page.splitlines():
        if line.startswith("## "):
            kind, part = line[3:], ""
        elif line.startswith("### ") or line == "`spec`:":
            part = line.removeprefix("### ").strip("`:")
        elif match := re.match(r"\| `([^`]+)`\*? \|", line):
            found.setdefault(f"{kind} {part}".strip(), {}).setdefault(match[1], []).append(line)
    return found


def tables_of(kind: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield the heading of each table of a kind, the schema of its object, and the whole schema."""
    schema = KINDS[kind].schema()
    spec = schema["properties"].get("spec", {})
    header = {key: of for key, of in schema["properties"].items() if key not in ("kind", "spec")}
    yield kind, {**schema, "properties": header}, schema
    yield f"{kind} spec", spec, schema
    for named, definition in schema.get("$defs", {}).items():
        part = named.replace("integration-", "Connector ")
        yield f"{kind} {part}", definition, schema


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_every_schema_has_a_line(kind: str) -> None:
    lines = lines_of(documents_markdown())
    for heading, node, root in tables_of(kind):
        wanted = {path for path, _ in field_paths(node, root)}
        assert wanted - lines.get(heading, {}).keys() == set(), heading


def test_every_line_of_a_connector_has_a_description_a_default_and_an_example_that_is_valid() -> None:
    lines = lines_of(documents_markdown())
    connectors = [entry for entry in tables_of("Integration") if " Connector " in entry[0]]
    assert len(connectors) == 7
    for heading, node, root in connectors:
        schemas = dict(reversed(list(field_paths(node, root))))
        for path, written in lines[heading].items():
            for line in written:
                match = re.fullmatch(r"\| `[^`]+`(\*?) \| (.+?) \| ([A-Z`].+?\.) (.*)Example: `(.+)`\. \|", line)
                assert match, f"{heading}: {line}"
                assert match[1] or "Default: " in line, f"{heading}: {line}"
                example = json.loads(match[5].replace("\\|", "|"))
                for value in (example, schemas[path].get("default", example)):
                    assert jsonschema_rs.is_valid(schemas[path], value), f"{heading}: {path}: {value}"


def test_tables_contain_fields_of_patterns_alternatives_and_definitions() -> None:
    text = {"type": "string", "description": "Text."}
    key = {"properties": {"key": text, "scheme": {"const": "key", "description": "Scheme."}}, "required": ["key"]}
    pair = {"properties": {"scheme": {"const": "pair", "description": "Scheme."}, "first": text}}
    node = {
        "properties": {"auth": {"type": "object", "description": "Login.", "oneOf": [key, pair]}},
        "patternProperties": {"^x-": {"items": {"anyOf": [{"properties": {"inner": text}}]}}},
        "allOf": [{"if": {"properties": {"tested": text}}, "then": {"properties": {"auth": {"minProperties": 1}}}}],
        "else": {"properties": {"other": text}},
        "$ref": "#/$defs/alternatives",
    }
    definitions = {"alternatives": {"oneOf": [{"properties": {"referred": text}}, {"$ref": "#/$defs/alternatives"}]}}
    table = field_table(node, definitions, is_complete=True)
    assert re.findall(r"^\| (`.+?`\*?) \|", table, re.MULTILINE) == [
        "`referred`",
        "`auth`",
        "`auth.key`*",
        "`auth.scheme`",
        "`auth.scheme`",
        "`auth.first`",
        "`{}[].inner`",
        "`other`",
    ]
    assert '| `auth.scheme` | `"pair"` | Scheme. Default: none. Example: `"pair"`. |' in table
