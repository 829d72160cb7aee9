"""Writer of configuration documents as YAML that the reader parses to the same values, with stable lines."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_BLOCK: Final = re.compile(r"[!-~\u00a1-\u024f][ -~\u00a1-\u024f]*(?:\n[ -~\u00a1-\u024f]*)*")
_TEXT: Final = "tag:yaml.org,2002:str"


class _Dumper(yaml.SafeDumper):
    """Dumper that quotes ambiguous text and writes no aliases, which the reader refuses."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return dumper.represent_scalar(_TEXT, text)
    if "\n" in text and _BLOCK.fullmatch(text):
        return dumper.represent_scalar(_TEXT, text, style="|")
    return dumper.represent_scalar(_TEXT, text, style='"')


def _represent_float(dumper: yaml.SafeDumper, number: float) -> yaml.Node:
    """Write a number as Python does, which reads back exactly; YAML needs the dot in `5.0e-324`."""
    text = repr(number)
    return dumper.represent_scalar("tag:yaml.org,2002:float", text if "." in text else text.replace("e", ".0e", 1))


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(float, _represent_float)


def write_document(value: Any, *, in_one_line: bool = False) -> str:
    """Return one document as YAML, with members in their order. `value` is I-JSON.

    `in_one_line` writes an object or list as `{...}` or `[...]`.
    """
    options: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 2**31 - 1}
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=in_one_line, **options)
    return text.rstrip("\n") if in_one_line else text
