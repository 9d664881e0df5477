"""Who may import whom: the contracts of pyproject.toml hold, and they would notice a breach."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

from tools.house import import_circles

REPO = Path(__file__).resolve().parents[1]
PLANNERS_MAY_IMPORT = {"numpy", "polars", "pydantic", "planners"}


BREACHES = {
    "planners/physics/rates.py": "from planners.spec.spec_model import SpecModel",
    "planners/spec/spec_model.py": "from planners.spec.run_spec import RunSpec",
    "planners/units.py": "import subprocess",
    "clusterctl/errors.py": "from clusterctl.ledger.store import Store",
    "clusterctl/runs/follow.py": "from clusterctl.commands import up",
    "clusterctl/catalog/query.py": "from clusterctl.targets.base import Job",
    "clusterctl/ui/table.py": "from clusterctl.ledger.store import Store",
    "clusterctl/paths.py": "import app",
    "clusterctl/ledger/rows.py": "from clusterctl.ledger.store import Store\nfrom clusterctl.ledger.ledger import Ledger",
}
"""File -> an import that a contract forbids; every contract is breached by one of them."""


def test_import_contracts_hold() -> None:
    done = lint_imports(REPO)
    assert done.returncode == 0, done.stdout


def test_every_contract_notices_a_breach(tmp_path: Path) -> None:
    for package in ("clusterctl", "planners", "infra", "app"):
        shutil.copytree(REPO / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "data"))
    shutil.copy(REPO / "pyproject.toml", tmp_path)
    for file, line in BREACHES.items():
        with (tmp_path / file).open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")
    done = lint_imports(tmp_path)
    assert "Contracts: 0 kept" in done.stdout, done.stdout


def test_no_modules_import_each_other_in_a_circle() -> None:
    folders = ("clusterctl", "planners", "infra", "app")
    files = [file for folder in folders for file in (REPO / folder).rglob("*.py")]
    sources = {file.relative_to(REPO): file.read_text(encoding="utf-8") for file in files}
    assert list(import_circles(sources)) == []


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    lint = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([lint, "--no-cache"], cwd=root, capture_output=True, text=True, check=False)


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
        if name in {"app", "infra", "templates", "tests", "tools", "examples"} - {folder}
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


def test_the_pulumi_program_imports_of_planners_only_what_needs_pydantic_alone() -> None:
    """Pulumi runs it with a Python of its own, which has no Polars and no NumPy (tests/engines/pulumi.in)."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in (REPO / "infra").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = sorted({n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module} - {"__future__"})
    wanted = [module for module in modules if module.partition(".")[0] == "planners"]
    assert "planners.plan.unit_prices" in wanted
    program = "import sys\nsys.modules |= {'polars': None, 'numpy': None}\n" + "".join(f"import {m}\n" for m in wanted)
    done = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
