"""The wheel, installed with its locked requirements in a venv of its own, works anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

IMPORT_EVERYTHING = """
import importlib, pkgutil, clusterctl, planners
CLOUDS = ("aws", "azure", "gcp")
for package in (clusterctl, planners):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        needs_extra = module.name.startswith(("clusterctl.store.bucket", *(f"clusterctl.clouds.{c}" for c in CLOUDS)))
        if not needs_extra:  # open_object_store and cloud_of say which
            importlib.import_module(module.name)
print(clusterctl.__file__)
"""

OWNERS = "import importlib.metadata as m, json; print(json.dumps(m.packages_distributions()))"


def python(scripts: Path, code: str, folder: Path) -> str:
    command = [scripts / "python", "-P", "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_every_module_imports_with_the_runtime_requirements_alone(scripts: Path, tmp_path: Path) -> None:
    assert "site-packages" in python(scripts, IMPORT_EVERYTHING, tmp_path)


def test_requirements_are_complete_and_agree(scripts: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--python", scripts / "python", "check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_nobody_else_ships_planners(scripts: Path, tmp_path: Path) -> None:
    owners = json.loads(python(scripts, OWNERS, tmp_path))
    assert owners["planners"] == ["clusterctl"]
    assert not {"infra", "app", "examples", "templates", "tests"} & set(owners)


def test_doctor_finds_the_bundle_inside_the_wheel(clusterctl: Run) -> None:
    checks = {check["name"]: check for check in json.loads(clusterctl("doctor", "--json").stdout)["checks"]}
    assert checks["bundled files"]["status"] == "ok"
    assert checks["bundled files"]["detail"].endswith("clusterctl/_bundled")


@pytest.mark.parametrize("args", ["--version", "doctor", "--help"])
def test_runs_in_a_folder_whose_names_are_ours(clusterctl: Run, tmp_path: Path, args: str) -> None:
    for name in ("app", "infra", "examples", "planners", "clusterctl", "templates"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            "raise SystemExit('the wrong folder was imported')\n", encoding="utf-8"
        )
    done = clusterctl(*args.split())
    assert (done.returncode, done.stderr) == (0, "")


def test_the_quickstarts_trainer_runs_by_path(scripts: Path, tmp_path: Path) -> None:
    root = Path(python(scripts, "from clusterctl.paths import bundle_root; print(bundle_root())", tmp_path).strip())
    trainer = root / "examples" / "quickstart" / "trainer.py"
    nobody = ["--run-dir", tmp_path, "--sandbox-url", "http://127.0.0.1:9", "--patience-seconds", "0.1"]
    done = subprocess.run(
        [scripts / "python", "-P", trainer, *nobody],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: the sandbox at http://127.0.0.1:9 failed for 0.1 s")
