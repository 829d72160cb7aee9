"""Move a module or a package, or rename a top-level name of a module, in code, tests, strings, contracts and documents.

    uv run .ci/move.py integrations.transport threada_site.outbound      a package, or a module
    uv run .ci/move.py workitems.api.packs:PACK workitems.api.packs:PACK_RESOURCE   a name, in its module

Imports and uses follow LibCST's qualified names. Text names a module by its dotted name or its path. Mentions that
cannot be decided are printed. Run the tests afterwards; layers in pyproject.toml may need another order.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import symtable
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import MetadataWrapper, QualifiedName, QualifiedNameProvider, QualifiedNameSource

TEXT: Final = (".py", ".md", ".toml", ".yaml", ".yml", ".html", ".txt", ".json", ".po", "run")
MIGRATIONS: Final = "migrations"  # released ones never change, and import nothing that moves


class Move(NamedTuple):
    """Dotted names before and after. `is_name`: of a name in a module; otherwise of a module or package."""

    old: str
    new: str
    is_name: bool

    def renamed(self, dotted: str) -> str:
        """Return `dotted` as it is called after the move."""
        if dotted == self.old or dotted.startswith(self.old + "."):
            return self.new + dotted.removeprefix(self.old)
        return dotted


def parsed_move(old: str, new: str) -> Move:
    is_name = ":" in old
    if is_name != (":" in new) or (is_name and old.partition(":")[0] != new.partition(":")[0]):
        raise SystemExit("Give two modules, or two names of the same module: package.module:name")
    return Move(old.replace(":", "."), new.replace(":", "."), is_name)


class Rewrite(cst.CSTTransformer):
    """Rewrite the imports and uses of what moved in one module, whose own dotted name is `module`."""

    METADATA_DEPENDENCIES = (QualifiedNameProvider,)

    def __init__(self, move: Move, module: str) -> None:
        super().__init__()
        self.move, self.module = move, module
        self.parent, _, self.leaf = move.old.rpartition(".")
        self.new_parent, _, self.new_leaf = move.new.rpartition(".")

    def visit_Import(self, node: cst.Import) -> bool:
        return False

    def visit_ImportFrom(self, node: cst.ImportFrom) -> bool:
        return False

    def leave_Import(self, original_node: cst.Import, updated_node: cst.Import) -> cst.Import:
        names = [
            alias.with_changes(name=dotted(self.move.renamed(full_name(alias.name)))) for alias in updated_node.names
        ]
        return updated_node.with_changes(names=names)

    def leave_ImportFrom(
        self, original_node: cst.ImportFrom, updated_node: cst.ImportFrom
    ) -> cst.ImportFrom | cst.FlattenSentinel[cst.BaseSmallStatement]:
        if updated_node.relative or updated_node.module is None or isinstance(updated_node.names, cst.ImportStar):
            return updated_node
        source = full_name(updated_node.module)
        if self.move.renamed(source) != source:
            return updated_node.with_changes(module=dotted(self.move.renamed(source)))
        moved = [alias for alias in updated_node.names if source == self.parent and alias.name.value == self.leaf]
        if not moved:
            return updated_node
        renamed = [alias.with_changes(name=cst.Name(self.new_leaf), comma=cst.MaybeSentinel.DEFAULT) for alias in moved]
        kept = [alias for alias in updated_node.names if alias not in moved]
        if self.new_parent == self.parent:
            return updated_node.with_changes(names=[*kept, *renamed])
        new = updated_node.with_changes(module=dotted(self.new_parent), names=renamed, lpar=None, rpar=None)
        if not kept:
            return new
        kept[-1] = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return cst.FlattenSentinel([updated_node.with_changes(names=kept), new])

    def leave_Name(self, original_node: cst.Name, updated_node: cst.Name) -> cst.Name:
        if original_node.value == self.leaf and self._is_moved(original_node):
            return updated_node.with_changes(value=self.new_leaf)
        return updated_node

    def leave_Attribute(self, original_node: cst.Attribute, updated_node: cst.Attribute) -> cst.BaseExpression:
        if not self._is_moved(original_node):
            return updated_node
        if full_name(original_node) == self.move.old:  # after `import a.b.c`
            return dotted(self.move.new)
        return updated_node.with_changes(attr=cst.Name(self.new_leaf))

    def _is_moved(self, node: cst.CSTNode) -> bool:
        found: set[QualifiedName] = self.get_metadata(QualifiedNameProvider, node, set())
        own = self.leaf if self.move.is_name and self.module == self.parent else None
        return any(name.name == (own if name.source is QualifiedNameSource.LOCAL else self.move.old) for name in found)


def full_name(node: cst.CSTNode) -> str:
    return get_full_name_for_node(node) or ""


def dotted(name: str) -> cst.Attribute | cst.Name:
    """Return the expression of a dotted name."""
    head, *rest = name.split(".")
    expression: cst.Attribute | cst.Name = cst.Name(head)
    for part in rest:
        expression = cst.Attribute(value=expression, attr=cst.Name(part))
    return expression


def rewritten(source: str, move: Move, module: str) -> str:
    """Return the code of a module after the move."""
    if move.old.rpartition(".")[2] not in source:
        return source
    return MetadataWrapper(cst.parse_module(source)).visit(Rewrite(move, module)).code


def retold(text: str, move: Move, members: frozenset[str]) -> str:
    """Return a text with the dotted names and paths of what moved. `members`: what may follow the dotted name."""

    def told(found: re.Match[str]) -> str:
        return move.new + found[1] if not found[1] or found[1][1:] in members else found[0]

    text = re.sub(rf"(?<![\w.]){re.escape(move.old)}((?:\.\w+)?)(?!\w)", told, text)
    if move.is_name:
        module, _, name = move.old.rpartition(".")
        place = module.replace(".", "/") + ".py::"
        return re.sub(rf"{re.escape(place + name)}\b", place + move.new.rpartition(".")[2], text)
    old, new = (name.replace(".", "/") for name in (move.old, move.new))
    return re.sub(rf"(?:(?<=\.\./)|(?<![\w./-])){re.escape(old)}(?=\.py\b|/|\W|$)", new, text)


def members_of(root: Path, move: Move) -> frozenset[str]:
    """Return the names that may follow the old dotted name: modules of a package, top-level names of a module."""
    at = root.joinpath(*move.old.split("."))
    module = at / "__init__.py" if at.is_dir() else at.with_suffix(".py")
    code = symtable.symtable(module.read_text(), str(module), "exec") if module.exists() else None
    return frozenset(code.get_identifiers() if code else ()) | {path.stem for path in at.glob("*")}


def undecided(text: str, move: Move) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines that may still name what moved."""
    leaf = re.escape(move.old.rpartition(".")[2])
    told = (
        rf"(?<![\w.]){re.escape(move.old)}\b|[`\"'./]{leaf}(?:\.py)?[`\"':]"
        if not move.is_name
        else rf"[`\"'.:]{leaf}\b"
    )
    for number, line in enumerate(text.splitlines(), 1):
        if re.search(told, line):
            yield number, line.strip()


def is_taken(source: str, move: Move) -> bool:
    """Return True if the new last part is another name of this module."""
    new, old = move.new.rpartition(".")[2], move.old.rpartition(".")[2]
    return new != old and new in symtable.symtable(source, "", "exec").get_identifiers()


def tracked(root: Path) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / name for name in listed.split("\0") if name.endswith(TEXT) and (root / name).is_file()]


def module_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def apply(move: Move, root: Path) -> list[str]:
    """Apply a move in the checkout at `root`. Return the lines that a person has to look at."""
    members = members_of(root, move)
    if not move.is_name:
        move_files(move, root)
    doubtful = []
    for path in tracked(root):
        if MIGRATIONS in path.parts:
            continue
        before = after = path.read_text()
        if path.suffix == ".py":
            after = rewritten(before, move, module_of(path, root))
            if after != before and is_taken(before, move):
                doubtful.append(f"{path.relative_to(root)}: has a name {move.new.rpartition('.')[2]} already")
        after = retold(after, move, members)
        if after != before:
            path.write_text(after)
        doubtful += [f"{path.relative_to(root)}:{number}: {line}" for number, line in undecided(after, move)]
    return doubtful


def move_files(move: Move, root: Path) -> None:
    """Move the files of a module or package with git. Raise `SystemExit` if they are not there, or the new place is."""
    old, new = (root.joinpath(*name.split(".")) for name in (move.old, move.new))
    if not old.is_dir():
        old, new = old.with_suffix(".py"), new.with_suffix(".py")
    if not old.exists() or new.exists():
        raise SystemExit(f"{old} has to exist, and {new} not")
    new.parent.mkdir(parents=True, exist_ok=True)
    for folder in [parent for parent in new.parents if parent.is_relative_to(root) and parent != root]:
        if not (folder / "__init__.py").exists():
            (folder / "__init__.py").touch()
            subprocess.run(["git", "add", str(folder / "__init__.py")], cwd=root, check=True)
    subprocess.run(["git", "mv", str(old), str(new)], cwd=root, check=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="package.module, or package.module:name")
    parser.add_argument("new", help="the same after the move")
    given = parser.parse_args(arguments)
    doubtful = apply(parsed_move(given.old, given.new), Path.cwd())
    for command in (["ruff", "check", "--quiet", "--fix"], ["ruff", "format", "--quiet"]):
        subprocess.run(command, check=False)
    print(*doubtful, sep="\n")
    print(f"{len(doubtful)} lines may still name {given.old}. Run `lint-imports`, `mypy` and the tests.")


if __name__ == "__main__":
    main()
