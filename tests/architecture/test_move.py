"""`.ci/move.py` moves modules and packages and renames names, in code, strings and documents."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.architecture.test_ci import script

move = script("move")
FILES = {
    "shop/__init__.py": "",
    "shop/prices.py": "def total(lines):\n    return sum(lines)\n\n\ndef doubled(lines):\n    return 2 * total(lines)\n",
    "shop/till/__init__.py": "from shop.till.drawer import Drawer\n",
    "shop/till/drawer.py": "class Drawer:\n    total = 0\n",
    "shop/desk.py": "from shop import desk_names, prices\nfrom shop.prices import total\n\n"
    "SUM = total([1]) + prices.total([2])\n\n\ndef other(prices):\n    return prices.total\n",
    "shop/desk_names.py": "import shop.till.drawer\n\nEMPTY = shop.till.drawer.Drawer()\n",
    "tests/test_desk.py": "from shop.till import Drawer\n\nPATCHED = 'shop.prices.total'\nTASK = 'shop.prices.sweep'\n"
    "total = Drawer().total\n",
    "docs/page.md": "`shop/prices.py::total` and `shop.till.Drawer`, not `other/shop/till/x`; see ../shop/till/drawer.py.\n",
    "contracts.toml": 'layers = ["shop.desk", "shop.till"]\n',
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for arguments in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    return tmp_path


def test_package_moves_with_all_that_names_it(checkout: Path) -> None:
    move.apply(move.parsed_move("shop.till", "shop.front.register"), checkout)
    assert not (checkout / "shop/till").exists()
    assert (checkout / "shop/front/__init__.py").exists()
    assert (
        checkout / "shop/front/register/__init__.py"
    ).read_text() == "from shop.front.register.drawer import Drawer\n"
    names = (checkout / "shop/desk_names.py").read_text()
    assert names == "import shop.front.register.drawer\n\nEMPTY = shop.front.register.drawer.Drawer()\n"
    assert "from shop.front.register import Drawer" in (checkout / "tests/test_desk.py").read_text()
    assert (checkout / "contracts.toml").read_text() == 'layers = ["shop.desk", "shop.front.register"]\n'
    page = (checkout / "docs/page.md").read_text()
    assert page.endswith(
        "`shop.front.register.Drawer`, not `other/shop/till/x`; see ../shop/front/register/drawer.py.\n"
    )


def test_module_that_a_statement_imports_beside_others_gets_one_of_its_own(checkout: Path) -> None:
    doubtful = move.apply(move.parsed_move("shop.prices", "shop.till.sums"), checkout)
    assert (checkout / "shop/desk.py").read_text().replace("; ", "\n") == (
        "from shop import desk_names\nfrom shop.till import sums\nfrom shop.till.sums import total\n\n"
        "SUM = total([1]) + sums.total([2])\n\n\ndef other(prices):\n    return prices.total\n"
    )
    tests = (checkout / "tests/test_desk.py").read_text()
    assert "'shop.till.sums.total'" in tests
    assert "'shop.prices.sweep'" in tests  # a name of something else
    assert [line for line in doubtful if "sweep" in line] == ["tests/test_desk.py:4: TASK = 'shop.prices.sweep'"]


def test_name_is_renamed_where_it_is_meant(checkout: Path) -> None:
    move.apply(move.parsed_move("shop.prices:total", "shop.prices:sum_of"), checkout)
    prices = (checkout / "shop/prices.py").read_text()
    assert (
        prices == "def sum_of(lines):\n    return sum(lines)\n\n\ndef doubled(lines):\n    return 2 * sum_of(lines)\n"
    )
    desk = (checkout / "shop/desk.py").read_text()
    assert "import sum_of\n\nSUM = sum_of([1]) + prices.sum_of([2])\n" in desk
    assert desk.endswith("return prices.total\n")
    tests = (checkout / "tests/test_desk.py").read_text()
    assert "'shop.prices.sum_of'" in tests
    assert tests.endswith("total = Drawer().total\n")
    assert (checkout / "docs/page.md").read_text().startswith("`shop/prices.py::sum_of`")


def test_name_that_is_taken_is_said(checkout: Path) -> None:
    doubtful = move.apply(move.parsed_move("shop.prices:total", "shop.prices:other"), checkout)
    assert "shop/desk.py: has a name other already" in doubtful


@pytest.mark.parametrize(
    ("old", "new"),
    [("shop.nowhere", "shop.new"), ("shop.prices", "shop.desk"), ("shop.prices:total", "shop.desk:total")],
)
def test_move_that_cannot_be_made_changes_nothing(checkout: Path, old: str, new: str) -> None:
    with pytest.raises(SystemExit):
        move.apply(move.parsed_move(old, new), checkout)
    assert {name: (checkout / name).read_text() for name in FILES} == FILES
