"""The console's copy of unfold's script: only functions of the pinned version, and none that writes into fields."""

from __future__ import annotations

import re
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.staticfiles import finders

COPY: Final = settings.THREADA_BASE_DIR / "threada_site/console/static/unfold/js/app.js"
VERSION: Final = "0.110.0"
ORIGINAL_SHA256: Final = "d95bf6aad8d7520dc091705fee150027e8c4afe17904ba49254ad537d584ce71"
_FUNCTION: Final = re.compile(r"^function \w+\(.*?^}\n", re.DOTALL | re.MULTILINE)
_WRITE: Final = re.compile(
    r"""\.(?:value|checked|files)\s*=[^=]|setAttribute\(["'](?:value|checked)|\.(?:fill|val)\("""
)


def original() -> str:
    return (files("unfold") / "static/unfold/js/app.js").read_text()


def test_pages_load_the_copy() -> None:
    assert finders.find("unfold/js/app.js") == str(COPY)


def test_the_copy_is_that_of_the_pinned_version() -> None:
    assert version("django-unfold") == VERSION
    assert sha256(original().encode()).hexdigest() == ORIGINAL_SHA256, "compare the new script with the copy"
    functions = _FUNCTION.findall(COPY.read_text())
    assert [re.match(r"function (\w+)", one)[1] for one in functions] == [  # type: ignore[index]
        "isFilterModalOpen", "theme", "scrollSidebarNav",
    ]  # fmt: skip
    assert all(one in original() for one in functions)


def test_the_copy_writes_into_no_field() -> None:
    assert _WRITE.search(original())
    assert not _WRITE.search(COPY.read_text())


def test_no_other_script_of_a_package_replaces_or_extends_it() -> None:
    """Scripts of packages on pages of the console, each read for writes into fields."""
    pages = [*Path(settings.THREADA_BASE_DIR, "templates").rglob("*.html")]
    pages.append(Path(str(files("unfold") / "templates/unfold/layouts/skeleton.html")))
    named = {name for page in pages for name in re.findall(r"static ['\"]([^'\"]+\.js)['\"]", page.read_text())}
    assert {name for name in named if not name.startswith("console/")} == {
        "api/docs.js",
        "drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js",
        "unfold/js/app.js",
        "unfold/js/chart/chart.js",
        "unfold/js/htmx/htmx.js",
        *(f"unfold/js/alpine/alpine{part}.js" for part in ("", ".anchor", ".persist", ".sort", ".focus", ".resize")),
    }
