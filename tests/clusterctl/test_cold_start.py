"""What a cold command must not pay for: imports, thread pools, garbage.  Structure, not seconds: `make bench` measures."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clusterctl import machine
from clusterctl.paths import bundle_root

EXAMPLE = bundle_root() / "templates" / "specs" / "rlcef.yaml"
PROGRAM = """
import sys
from clusterctl import cli
try:
    cli.main({args!r})
except SystemExit:
    print(*sorted(sys.modules), file=sys.stderr)
"""
NEVER_FOR_A_PLAN = (
    "httpx", "matplotlib", "rich", "scipy", "tenacity", "pandas", "pyarrow", "asyncio", "unittest",
    "numpy.ma", "numpy.testing", "polars._utils.udfs", "polars.testing", "typer.testing", "typer.rich_utils",
    "clusterctl.catalog.refresh", "clusterctl.ui.pictures", "clusterctl.ui.markdown", "clusterctl.ui.explain",
    "planners.validation", "clusterctl.commands.prices", "clusterctl.commands.validate", "clusterctl.catalog.published_names",
)  # fmt: skip
"""Each takes 5 to 100 ms.  numpy.ma comes with `np.unique` of one array, polars' udfs with `map_elements`."""


def imported(*args: str, home: Path) -> set[str]:
    """Names of the modules that a command has imported when it ends."""
    environ = {**os.environ, "CLUSTERCTL_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(args=list(args))], env=environ, capture_output=True, text=True, check=True
    )
    return set(done.stderr.splitlines()[-1].split())


def test_a_plan_imports_nothing_that_it_does_not_use(tmp_path: Path) -> None:
    modules = imported("plan", str(EXAMPLE), home=tmp_path)
    assert {"polars", "numpy", "pydantic", "planners.plan.build", "clusterctl.ui.plan_page"} <= modules
    assert sorted(modules & set(NEVER_FOR_A_PLAN)) == []


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_commands_that_plan_nothing_import_no_planner(args: list[str], tmp_path: Path) -> None:
    heavy = {"polars", "numpy", "pydantic", "yaml", "rich", "httpx", "planners"}
    assert sorted(imported(*args, home=tmp_path) & heavy) == []


@pytest.mark.parametrize("args", [["status"], ["status", "--all"]])
def test_status_reads_no_price_book(args: list[str], tmp_path: Path) -> None:
    assert sorted(imported(*args, home=tmp_path) & {"polars", "numpy", "clusterctl.catalog.price_book"}) == []


def test_one_thread_yields_to_the_environment_and_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_MAX_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with machine.one_thread():
        assert os.environ["POLARS_MAX_THREADS"] == "7"
        assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert dict(os.environ) == before


def test_one_thread_leaves_the_environment_as_it_was_when_an_import_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with pytest.raises(ImportError), machine.one_thread():
        raise ImportError("no such module")
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_the_collector_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.atexit, "register", lambda _: None)
    before = gc.get_threshold()
    try:
        machine.collect_garbage_rarely()
        assert gc.isenabled()
        assert gc.get_threshold()[0] == machine.ALLOCATIONS_PER_COLLECTION
    finally:
        gc.set_threshold(*before)
