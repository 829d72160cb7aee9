"""Exports that their maker changed before signing them."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from threada_site.kernel.json.canonical import canonical_bytes, sha256_hex
from threada_site.runtime.backup.archive import MANIFEST, NOTE
from threada_site.runtime.backup.tenant_export import GRANTS, PRINCIPALS, ROLES

type Change = Callable[[str, bytes], bytes]


def changed(
    source: Path, target: Path, change: Change, signer: Any, *, grants: str = GRANTS, without: Collection[str] = ()
) -> str:
    """Write a copy of an export with changed members, signed as its maker could sign it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        manifest = json.loads(old.read(MANIFEST))
        for name in list(manifest["members"]):
            content = change(name, old.read(name))
            manifest["members"].pop(name)
            if name in without:
                continue
            named = grants if name == GRANTS else name
            new.writestr(named, content)
            manifest["members"][named] = {"size": len(content), "sha256": sha256_hex(content)}
        body = change(MANIFEST, canonical_bytes(manifest))
        new.writestr(MANIFEST, body)
        new.writestr(NOTE, signer(f"threada backup\n{sha256_hex(body)}\n"))
    return str(target)


def in_rows(table: str, column: str, value: str, *, only_last: bool = False) -> Change:
    """Return a change of one column in all rows of a table, or in the last one."""

    def change(name: str, content: bytes) -> bytes:
        if name != f"rows/{table}.csv":
            return content
        header, *rows = csv.reader(io.StringIO(content.decode()), quoting=csv.QUOTE_NOTNULL)
        place = header.index(column)
        out = io.StringIO()
        out.write(",".join(str(name) for name in header) + "\n")
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NOTNULL)
        kept = rows[:-1] if only_last else []
        writer.writerows([*kept, *([*row[:place], value, *row[place + 1 :]] for row in rows[len(kept) :])])
        return out.getvalue().encode()

    return change


def with_column(table: str, column: str) -> Change:
    """Return a change that adds an empty column to a table."""

    def change(name: str, content: bytes) -> bytes:
        if name != f"rows/{table}.csv":
            return content
        header, _, rest = content.partition(b"\n")
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NOTNULL)
        writer.writerows([*row, None] for row in csv.reader(io.StringIO(rest.decode()), quoting=csv.QUOTE_NOTNULL))
        return header + f",{column}\n".encode() + out.getvalue().encode()

    return change


def without_column(table: str, column: str) -> Change:
    """Return a change that leaves a column of a table out."""

    def change(name: str, content: bytes) -> bytes:
        if name != f"rows/{table}.csv":
            return content
        header, *rows = csv.reader(io.StringIO(content.decode()), quoting=csv.QUOTE_NOTNULL)
        place = header.index(column)
        out = io.StringIO()
        out.write(",".join(str(name) for name in header if name != column) + "\n")
        writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NOTNULL)
        writer.writerows([*row[:place], *row[place + 1 :]] for row in rows)
        return out.getvalue().encode()

    return change


def one_after_another(*changes: Change) -> Change:
    """Return a change that makes all of `changes`."""

    def change(name: str, content: bytes) -> bytes:
        for one in changes:
            content = one(name, content)
        return content

    return change


def in_member(member: str, edit: Callable[[bytes], bytes]) -> Change:
    """Return a change of the bytes of one member."""
    return lambda name, content: edit(content) if name == member else content


def in_manifest(**values: Any) -> Change:
    """Return a change of values of the manifest."""
    return in_member(MANIFEST, lambda body: canonical_bytes({**json.loads(body), **values}))


def with_principal(row: str) -> Change:
    """Return a change that adds a principal: id, name, kind, display name, address, zone, language, active, created."""
    return in_member(PRINCIPALS, lambda body: body + row.encode() + b"\n")


def malformed(new_id: str) -> dict[str, Change]:
    """Return changes that no instance makes, by what they are about. `new_id`: an id that nobody has."""
    return {
        "settings that are a list": in_manifest(settings=[]),
        "time that is a number": in_manifest(made_at=7),
        "time that is a text": in_manifest(made_at="soon"),
        "account of no day": with_principal(f"{new_id},mallory,human,,,,,t,soon"),
        "account of no kind": with_principal(f"{new_id},mallory,spirit,,,,,t,2026-01-01T00:00:00Z"),
        "account with a long address": with_principal(f"{new_id},mallory,human,,{'x' * 400},,,t,2026-01-01T00:00:00Z"),
        "account without a name": with_principal(f"{new_id},,human,,,,,t,2026-01-01T00:00:00Z"),
        "row with few columns": with_principal(new_id),
        "scopes with other columns": in_member(GRANTS, lambda _: b"a,b\n1,2\n"),
        "roles with other columns": in_member(ROLES, lambda _: b"a,b\n1,2\n"),
        "members that are binary": in_member(ROLES, lambda _: b"user_id,slug\n\xff\x00,\x1b[2J\n"),
        "receipts that are no JSON": in_rows("telemetry_receipt", "body", "\\x00"),
        "checkpoints that are no notes": in_rows("telemetry_checkpoint", "note", "\x1b[2J"),
        "keys of checkpoints that are none": in_rows("telemetry_checkpoint", "verifier_keys", "{x+y+z}"),
        "integrations that are lists": in_rows("integrations_integrationversion", "spec", "[]"),
        "policies without rules": in_rows("policies_policyversion", "document", "{}"),
    }
