"""`make house` counts what it says it counts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tools.house import import_circles, main, measure, render

REPO = Path(__file__).resolve().parents[1]
PACKED = 'f(\n    "a", b=1,\n    c=2)  # fmt: skip\nTABLE = {\n    1: 2,\n}  # fmt: skip\nTEXT = "x  # fmt: skip"\n'


def checkout(folder: Path, files: dict[str, str]) -> Path:
    for name, text in ({"pyproject.toml": "[[tool.importlinter.contracts]]\nname = 'one'\n"} | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_lines_count_as_the_formatter_leaves_them_without_skips(tmp_path: Path) -> None:
    house = measure(checkout(tmp_path, {"planners/spec/a.py": PACKED, "tests/test_a.py": "x = 1\n"}))
    assert house.product.lines == 3  # f(...), TABLE and TEXT fit one line each
    assert (house.fmt_skips_on_statements, house.fmt_skips_on_tables) == (1, 1)
    assert house.tests_per_source_line == 1 / 3
    assert house.import_contracts == 1


def test_names_used_twice_are_those_of_the_product(tmp_path: Path) -> None:
    one, two = "class A:\n    pass\n\n\nclass B:\n    pass\n", "class A:\n    pass\n"
    files = {"planners/x.py": one, "app/x.py": two, "planners/y.py": "", "tests/y.py": "class B: ...\n"}
    house = measure(checkout(tmp_path, files))
    assert house.class_names_used_twice == ("A",)
    assert house.file_names_used_twice == ("x.py",)


def test_circles_count_imports_for_type_checkers_and_not_those_inside_functions() -> None:
    sources = {
        Path("planners/a.py"): "from planners import b\n",
        Path("planners/b.py"): "if TYPE_CHECKING:\n    from planners.c import X\n",
        Path("planners/c.py"): "import planners.a\n",
        Path("planners/d.py"): "def f():\n    from planners.e import x\n",
        Path("planners/e.py"): "from planners.d import f\n",
    }
    assert import_circles(sources) == (("planners.a", "planners.b", "planners.c"),)


def test_this_checkout_is_measured_as_a_table_and_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = measure(REPO)
    monkeypatch.setattr("tools.house.measure", lambda _: measured)
    monkeypatch.setattr(sys, "argv", ["house.py", "--json"])
    main()
    house = json.loads(capsys.readouterr().out)
    parts = sum(
        folder["lines"]
        for folder in house["folders"]
        if folder["name"].startswith(("planners", "clusterctl", "infra", "app"))
    )
    assert house["product"]["lines"] == parts
    assert "planners/physics" in render(measured)
