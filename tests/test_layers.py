"""Who may import whom: the contracts of pyproject.toml hold, and they would notice a breach."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PLANNERS_MAY_IMPORT = {"numpy", "polars", "pydantic", "planners"}


def test_import_contracts_hold() -> None:
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_planners_import_only_the_standard_library_numpy_polars_and_pydantic() -> None:
    foreign = {
        (str(file.relative_to(REPO)), name)
        for file in (REPO / "planners").rglob("*.py")
        for name in _top_level_imports(file)
        if name not in PLANNERS_MAY_IMPORT and name not in sys.stdlib_module_names
    }
    assert foreign == set()


def test_nobody_imports_the_programs() -> None:
    importers = {
        (str(file.relative_to(REPO)), name)
        for folder in ("clusterctl", "planners", "infra")
        for file in (REPO / folder).rglob("*.py")
        for name in _top_level_imports(file)
        if name in {"app", "infra", "templates", "tests", "tools", "examples"}
    }
    assert importers == set()


def _top_level_imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names
