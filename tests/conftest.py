"""Shared by all tests: the checkout, the golden files, and the command line as a person runs it."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import settings

import clusterctl as clusterctl_package
import planners
from clusterctl import cli
from clusterctl.machine import collect_garbage_rarely, one_thread

with one_thread():  # waking a pool for short columns takes the processors from the other workers
    import numpy as np  # noqa: F401
    import polars as pl  # noqa: F401
collect_garbage_rarely()

settings.register_profile("patient", deadline=None, max_examples=50)  # a busy machine is slow, not wrong
settings.load_profile("patient")

PATIENCE_SECONDS = 240
"""For a command: a busy machine is slow, not wrong."""
REPO = Path(__file__).resolve().parents[1]

Run = Callable[..., subprocess.CompletedProcess[str]]
Golden = Callable[[str, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/golden/ anew; review the diff")
    parser.addoption("--wheel-dist", type=Path, help="folder with one wheel and one sdist; adds tests/wheel/")
    parser.addoption("--wheel-venv", type=Path, help="venv in which that wheel is installed; its `clusterctl` is run")


def pytest_configure(config: pytest.Config) -> None:
    """Tests that run in the wheel's venv must test the wheel, not the tree beside them."""
    wheel_venv = config.getoption("--wheel-venv")
    if wheel_venv is not None and Path(sys.prefix) == Path(wheel_venv).absolute():
        for package in (clusterctl_package, planners):
            assert Path(package.__file__ or "").is_relative_to(sys.prefix), f"{package.__file__} is not the wheel's"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """tests/wheel/ needs a built wheel: `make test-wheel` builds one and names it."""
    return True if collection_path.name == "wheel" and config.getoption("--wheel-dist") is None else None


@pytest.fixture(scope="session", autouse=True)
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What the developer's machine adds (prices, measurements) neither changes a test nor is changed by one."""
    os.environ["CLUSTERCTL_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def repo() -> Path:
    """Root of the checkout."""
    return REPO


@pytest.fixture(scope="session")
def scripts(pytestconfig: pytest.Config) -> Path:
    """Folder of the `clusterctl` under test: the wheel's venv if one is given, else the one that runs the tests."""
    wheel_venv = pytestconfig.getoption("--wheel-venv")
    return Path(sys.executable).parent if wheel_venv is None else Path(wheel_venv).absolute() / "bin"


@pytest.fixture
def clusterctl(scripts: Path, tmp_path: Path) -> Run:
    """Run the real command in an empty folder with an empty home: `clusterctl("plan", "run.yaml").stdout`."""
    return command_runner(scripts, tmp_path)


def command_runner(scripts: Path, folder: Path) -> Run:
    def run(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [scripts / "clusterctl", *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            env=clean_environ(folder, scripts) | environ,
        )

    return run


@pytest.fixture
def in_process(scripts: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """As `clusterctl`, but in this process: starting one takes half a second."""

    def run(*args: str, **environ: str) -> subprocess.CompletedProcess[str]:
        capfdbinary.readouterr()
        with (
            contextlib.chdir(tmp_path),
            mock.patch.dict(os.environ, clean_environ(tmp_path, scripts) | environ, clear=True),
            Path(os.devnull).open() as stdin,
            mock.patch.object(sys, "stdin", stdin),
            pytest.raises(SystemExit) as stopped,
        ):
            cli.main(args)
        out, err = capfdbinary.readouterr()
        return subprocess.CompletedProcess(shlex.join(args), int(stopped.value.code or 0), out.decode(), err.decode())

    return run


def clean_environ(home: Path, scripts: Path) -> dict[str, str]:
    """An environment without the developer's settings.  COLUMNS fixes the width of help and pages."""
    kept = {
        name: value for name, value in os.environ.items() if name in {"LANG", "LC_ALL"} or name.startswith("COVERAGE_")
    }
    path = os.pathsep.join([str(scripts), "/usr/local/bin", "/usr/bin", "/bin"])
    return kept | {"PATH": path, "HOME": str(home), "COLUMNS": "100", "PYTHONWARNINGS": "error"}


@pytest.fixture
def golden(pytestconfig: pytest.Config) -> Golden:
    """Compare a text with a file of tests/golden/: `golden("plan/rlcef_80.txt", page)`."""

    def compare(name: str, text: str) -> None:
        file = REPO / "tests" / "golden" / name
        if pytestconfig.getoption("--update-golden"):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"no {file.relative_to(REPO)}: run pytest --update-golden and review it"
        assert text == file.read_text(encoding="utf-8"), "if the change is meant: pytest --update-golden"

    return compare


@pytest.fixture
def work_folder(tmp_path: Path) -> Path:
    """A temporary folder with what the docs' commands read: templates/ and the published cases."""
    for name in ("templates", "tools/fit/cases"):
        shutil.copytree(REPO / name, tmp_path / name)
    return tmp_path
