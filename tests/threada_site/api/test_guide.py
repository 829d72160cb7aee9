"""The guide at `/docs/guide/`."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from tests.client import Api
from threada_site.api.documentation import guide

SCRIPT = "document.title = 'Guide'"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "guide"
    (root / "how-to").mkdir(parents=True)
    (root / "index.html").write_text(f"<title>Start</title><script>{SCRIPT}</script>")
    (root / "how-to" / "index.html").write_text("<title>How to</title>")
    (root / "404.html").write_text("<title>Not found</title>")
    (root / "search.json").write_text("{}")
    (tmp_path / "secret.txt").write_text("outside")
    monkeypatch.setattr(guide, "ROOT", root)
    return root


@pytest.mark.usefixtures("site")
class TestBuiltSite:
    def test_pages_files_and_not_modified(self) -> None:
        page = Api().get("/docs/guide/")
        assert (page.status_code, page["Content-Type"]) == (200, "text/html")
        assert Api().get("/docs/guide/", headers={"If-None-Match": page["ETag"]}).status_code == 304
        assert Api().get("/docs/guide/how-to")["Location"] == "/docs/guide/how-to/"
        assert b"How to" in Api().get("/docs/guide/how-to/").content
        assert Api().get("/docs/guide/search.json")["Content-Type"] == "application/json"
        assert Api().get("/docs/guide")["Location"] == "/docs/guide/"

    def test_only_scripts_of_the_page_run(self) -> None:
        digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
        assert f"script-src 'self' 'sha256-{digest}';" in Api().get("/docs/guide/")["Content-Security-Policy"]
        assert "sha256" not in Api().get("/docs/guide/how-to/")["Content-Security-Policy"]

    @pytest.mark.parametrize(
        "path",
        [
            "nowhere",
            "../secret.txt",
            "..%2fsecret.txt",
            "%2e%2e/secret.txt",
            "a%00b",
            "//etc/passwd",
            "..",
            "404.html",
            "a" * 300,
            "a/" * 3000,
        ],
    )
    def test_nothing_outside_is_read(self, path: str) -> None:
        answer = Api().get(f"/docs/guide/{path}")
        assert answer.status_code == 404
        assert b"outside" not in answer.content


def test_page_says_how_to_build_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guide, "ROOT", tmp_path)
    answer = Api().get("/docs/guide/reference/roles/")
    assert answer.status_code == 404
    assert "zensical" in answer.content.decode()
