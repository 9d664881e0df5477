"""Telemetry that is brought from a run's place: whole, once, also while it is compacted there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from clusterctl.store import open_source, open_store
from clusterctl.targets import remote_telemetry
from clusterctl.targets.remote_telemetry import TelemetryMirror
from clusterctl.targets.shell import LocalShell, Ran
from planners.telemetry.tables import schema

START = datetime(2026, 11, 23, 12, tzinfo=UTC)


class Shell(LocalShell):
    """A shell that remembers how much came through it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, script: str, *, seconds: float, stdin: bytes = b"") -> Ran:
        ran = super().run(script, seconds=seconds, stdin=stdin)
        self.sizes.append(len(ran.stdout))
        return ran


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A run's folder in its place, and here."""
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path / "laptop"))
    monkeypatch.setattr(remote_telemetry, "BRING_SECONDS", 0.0)
    monkeypatch.setattr(remote_telemetry, "CHUNK_BYTES", 10_000)
    return tmp_path / "place" / "runs" / "r", tmp_path / "laptop" / "runs" / "r"


def measured(there: Path, *minutes: int, run: str = "r", gpu: str = "0") -> None:
    """A batch of a minute of one GPU, written in the place."""
    with open_store(str(there / "telemetry"), node="gpu1") as store:
        for minute in minutes:
            ats = [START + timedelta(minutes=minute, seconds=10 * i) for i in range(1, 7)]
            rows = {"at": ats, "node": "gpu1", "gpu": gpu, "run": run, "role": "trainer", "seconds": 10.0}
            store.append("gpu", pl.DataFrame(rows).cast({"at": schema("gpu")["at"]}))
            store.flush()


def seconds(run: str | None = None) -> float:
    source = open_source()
    rows = source.read(
        "gpu", start=START - timedelta(hours=2), end=START + timedelta(hours=9), run=run, step_seconds=60
    )
    assert source.problems() == ()
    return float(rows["seconds"].sum())


def test_each_row_is_brought_once_also_when_batches_are_compacted_there(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_telemetry, "BRING_SECONDS", 60.0)
    there, here = places
    shell = Shell()
    TelemetryMirror().bring(shell, str(there), here)
    assert (seconds(), here.exists()) == (0.0, False), "nothing is there yet"
    measured(there, *range(10))
    TelemetryMirror().bring(shell, str(there), here)
    assert seconds() == 600.0
    brought = len(shell.sizes)
    TelemetryMirror().bring(shell, str(there), here)
    assert len(shell.sizes) == brought + 1, "a listing, and nothing else"
    measured(there, *range(10, 40))
    with open_store(str(there / "telemetry")) as store:
        store.compact(START + timedelta(hours=8))
        TelemetryMirror().bring(shell, str(there), here)
        assert seconds() == 2400.0
        for old in (there / "telemetry").rglob("s-*"):  # as a later compaction does
            old.unlink()
    TelemetryMirror().bring(shell, str(there), here)
    assert seconds() == 2400.0
    assert not list(here.rglob("s-*")), "what was replaced there is gone here, too"


def test_what_is_much_comes_in_pieces_and_manifests_last(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = places
    measured(there, *range(12))
    with open_store(str(there / "telemetry")) as store:
        store.compact(START + timedelta(hours=8))
    mirror, shell = TelemetryMirror(), Shell()
    mirror.bring(shell, str(there), here)
    assert not list(here.rglob("m-*"))
    assert len(shell.sizes) == 1, "its time was over at once"
    monkeypatch.setattr(remote_telemetry, "BRING_SECONDS", 60.0)
    TelemetryMirror().bring(shell, str(there), here)
    assert seconds() == 720.0
    assert max(shell.sizes) < 60_000


def test_runs_are_told_apart_and_a_node_of_two_runs_is_rolled_up_once_more(places: tuple[Path, Path]) -> None:
    there, here = places
    measured(here, 0, 1)
    measured(here.with_name("q"), 0, run="q", gpu="1")
    assert (seconds(), seconds("r"), seconds("q"), seconds("none")) == (180.0, 120.0, 60.0, 0.0)
    rows = open_source().read(
        "gpu", start=START, end=START + timedelta(hours=1), step_seconds=600, columns=["node", "seconds"]
    )
    assert [(row["node"], row["seconds"]) for row in rows.to_dicts()] == [("gpu1", 180.0)]
    assert open_source(str(there)).span() is None, "a store that is named is read alone"


def test_names_that_no_store_has_are_not_brought(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_telemetry, "BRING_SECONDS", 60.0)
    there, here = places
    folder = there / "telemetry" / "v1" / "gpu" / "2026-11-23" / "12"
    folder.mkdir(parents=True)
    for name in ("x.sh", "s-a b.parquet", "s-x\n-m.parquet"):
        (folder / name).write_text(json.dumps({}))
    (folder / "s-node-1a-000001-8c1f22ab.parquet").symlink_to("/etc/passwd")
    TelemetryMirror().bring(Shell(), str(there), here)
    assert [file for file in here.rglob("*") if file.is_file()] == []
