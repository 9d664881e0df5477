"""`clusterctl telemetry`: becomes the agent; prints what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from clusterctl.store import open_store


def test_what_was_measured_is_printed(clusterctl: Callable[..., object], tmp_path: Path) -> None:
    now = datetime.now(tz=UTC)
    rows = pl.DataFrame(
        {"at": [now - timedelta(minutes=m) for m in (1, 90)], "node": "n", "seconds": 10.0, "cpu_pct": [5.0, 6.0]}
    )
    with open_store(str(tmp_path / "store")) as store:
        store.append("host", rows)
    done = clusterctl(
        "telemetry",
        "export",
        "host",
        "--since",
        "30m",
        "--format",
        "json",
        CLUSTERCTL_TELEMETRY=str(tmp_path / "store"),
    )
    (line,) = done.stdout.splitlines()  # type: ignore[attr-defined]
    assert json.loads(line) | {"at": ""} == {
        "at": "",
        "node": "n",
        "seconds": 10.0,
        "cpu_pct": 5.0,
        "memory_used_mib": None,
        "disk_used_mib": None,
        "disk_kib_per_s": None,
        "network_kib_per_s": None,
    }
    done = clusterctl("telemetry", "export", "host", "--since", "2h", "--store", str(tmp_path / "store"))
    assert len(done.stdout.splitlines()) == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "gpus"), "unknown table gpus"),
        (("export", "gpu", "--since", "soon"), "--since soon: not a duration"),
        (("agent", "--listen", "0.0.0.0:9400"), "0.0.0.0 can be reached from outside this machine"),
        (("agent", "--listen", "off", "--store", "ftp://x"), "no store is kept at ftp://"),
    ],
)
def test_mistakes_are_named(clusterctl: Callable[..., object], arguments: tuple[str, ...], said: str) -> None:
    done = clusterctl("telemetry", *arguments)
    assert (done.returncode, said in done.stderr, "Traceback" in done.stderr) == (2, True, False)  # type: ignore[attr-defined]


@pytest.mark.parametrize("form", ["csv", "json"])
@pytest.mark.parametrize("table", ["host", "devices", "notes"])
def test_tables_without_a_run_show_a_runs_nodes(in_process, table: str, form: str, tmp_path: Path) -> None:
    at, where = datetime.now(tz=UTC) - timedelta(minutes=1), str(tmp_path / "store")
    with open_store(where) as store:
        store.append("gpu", pl.DataFrame({"at": [at] * 2, "node": ["a", "b"], "run": ["r", "q"], "seconds": 10.0}))
        for each in ("host", "devices", "notes"):
            store.append(each, pl.DataFrame({"at": [at] * 3, "node": ["a", "b", "c"]}))
    done = in_process("telemetry", "export", table, "--run", "r", "--store", where, "--format", form)
    read = {"csv": pl.read_csv, "json": pl.read_ndjson}[form]
    assert read(done.stdout.encode())["node"].to_list() == ["a"], done.stderr
