"""What the wheel and the sdist hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

MIB = 2**20


@pytest.fixture(scope="module")
def wheel(pytestconfig: pytest.Config) -> zipfile.ZipFile:
    (file,) = Path(pytestconfig.getoption("--wheel-dist")).glob("*.whl")
    return zipfile.ZipFile(file)


@pytest.fixture(scope="module")
def sdist_names(pytestconfig: pytest.Config) -> set[str]:
    (file,) = Path(pytestconfig.getoption("--wheel-dist")).glob("*.tar.gz")
    with tarfile.open(file) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def test_the_wheel_installs_two_names(wheel: zipfile.ZipFile) -> None:
    names = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"clusterctl", "planners"}


def test_the_programs_and_templates_travel_inside_clusterctl(wheel: zipfile.ZipFile, repo: Path) -> None:
    names = set(wheel.namelist())
    for folder in ("infra", "app", "examples", "templates"):
        for file in (repo / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"clusterctl/_bundled/{file.relative_to(repo).as_posix()}" in names


def test_the_wheel_holds_the_files_of_the_tree_unchanged(wheel: zipfile.ZipFile, repo: Path) -> None:
    """So that what the tests found in the tree holds for the wheel, wherever being installed makes no difference."""
    names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = {file for name in ("clusterctl", "planners") for file in (repo / name).rglob("*") if file.is_file()}
    made = ("__pycache__", ".ruff_cache", ".mypy_cache")
    ours = {file.relative_to(repo).as_posix() for file in files if not set(made) & set(file.parts)}
    assert ours - names == {"planners/ruff.toml"}
    for name in names:
        assert wheel.read(name) == (repo / name.removeprefix("clusterctl/_bundled/")).read_bytes(), name


def test_the_wheel_holds_no_leftovers(wheel: zipfile.ZipFile) -> None:
    unwanted = ("ruff.toml", ".env", ".pyc", ".lock", ".ipynb")
    assert [name for name in wheel.namelist() if name.endswith(unwanted) or "/tests/" in name] == []


def test_the_wheel_its_price_book_and_its_simulated_day_are_small(wheel: zipfile.ZipFile) -> None:
    def size(folder: str) -> int:
        return sum(info.compress_size for info in wheel.infolist() if info.filename.startswith(folder))

    prices = sum(
        info.file_size for info in wheel.infolist() if info.filename.startswith("clusterctl/catalog/data/prices")
    )
    assert 0 < prices <= MIB
    assert 0 < (day := size("clusterctl/_bundled/app/sample")) <= 3 * MIB
    assert size("") - day <= 2 * MIB


def test_the_licence_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel.namelist())


def test_the_sdist_holds_what_a_packager_needs_and_nothing_else(sdist_names: set[str]) -> None:
    needed = {
        "pyproject.toml",
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "requirements.lock",
        "tests/conftest.py",
    }
    assert needed <= sdist_names
    unwanted = (".venv/", "build/", "dist/", ".git/", ".mypy_cache/", ".ruff_cache/", ".clusterctl/")
    assert [name for name in sdist_names if name.startswith(unwanted) or "__pycache__" in name] == []


def test_files_that_git_ignores_never_reach_a_wheel(repo: Path, tmp_path: Path) -> None:
    """Pulumi and people leave secrets beside the programs; a direct build of the wheel must not ship them."""
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".venv", ".git", "build", "dist", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(repo, copy, ignore=ignored)
    for stray in ("infra/Pulumi.dev.yaml", "app/.env"):
        (copy / stray).write_text("secret: 1\n", encoding="utf-8")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    (file,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        assert [name for name in archive.namelist() if name.endswith((".env", "Pulumi.dev.yaml"))] == []
