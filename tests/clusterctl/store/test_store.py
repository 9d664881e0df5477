"""Rows go in and come out: as they are, and rolled up; before and after compaction."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from clusterctl.errors import SpecError
from clusterctl.store import default_store_url, open_store, read
from clusterctl.store.compact import MANY_BATCHES
from planners.telemetry.tables import schema

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=3)


def gpu_rows(count: int, *, node: str = "node-1", step_seconds: float = 10, start: datetime = NOON) -> pl.DataFrame:
    """Rows of one GPU, its utilisation counting up."""
    return pl.DataFrame(
        {
            "at": [start + timedelta(seconds=step_seconds * (i + 1)) for i in range(count)],
            "node": node,
            "gpu": "0",
            "run": "r1",
            "role": "trainer",
            "reason": ["waiting_sandbox" if i % 3 == 0 else None for i in range(count)],
            "seconds": step_seconds,
            "gpu_util_pct": [i % 100 for i in range(count)],
            "energy_j": 5000,
        },
        schema_overrides={k: v for k, v in schema("gpu").items() if k in {"at", "gpu_util_pct", "energy_j"}},
    )


def age(folder: Path, hours: float = 2) -> None:
    """Make all files older, so that a compaction removes what is not read any more."""
    for file in folder.rglob("*.*"):
        os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 3600 * hours))


def everything(store, **options) -> pl.DataFrame:
    return store.read("gpu", start=NOON - timedelta(days=1), end=NOON + timedelta(days=1), **options).sort("node", "at")


def test_what_is_flushed_is_read_whole_and_typed(tmp_path: Path) -> None:
    rows = gpu_rows(500)
    with open_store(str(tmp_path)) as store:
        assert store.span() is None
        store.append("gpu", rows)
        assert everything(store).is_empty()
        store.flush()
        read = everything(store)
        assert read.schema == schema("gpu")
        assert_frame_equal(read.select(rows.columns), rows, check_dtypes=False)
        assert read["power_w"].null_count() == 500
        assert store.span() == (rows["at"][0], rows["at"][-1])
        assert store.problems() == ()


@pytest.mark.parametrize("step", [10, 60, 300, 600, 3600])
def test_roll_ups_are_the_same_before_and_after_compaction(tmp_path: Path, step: int) -> None:
    with open_store(str(tmp_path)) as store:
        for node in ("node-1", "node-2"):
            store.append("gpu", gpu_rows(1000, node=node))
            store.flush()
        before = everything(store, step_seconds=step).sort("at", "node", "reason")
        raw = everything(store).sort("at", "node")
        store.compact(LATER + timedelta(days=1))
        assert_frame_equal(raw, everything(store).sort("at", "node"))
        age(tmp_path)
        store.compact(LATER + timedelta(days=1))
        assert sorted({file.name[:2] for file in tmp_path.rglob("*.*")}) == ["c-", "m-"]
        after = everything(store, step_seconds=step).sort("at", "node", "reason")
        util = pl.col("gpu_util_pct").cast(pl.Float64)
        assert_frame_equal(before.with_columns(util), after.with_columns(util), abs_tol=1)  # a mean of rounded means
        assert_frame_equal(raw, everything(store).sort("at", "node"))
        assert after["seconds"].sum() == 20_000
        assert after["energy_j"].sum() == 2000 * 5000
        assert store.problems() == ()


def test_keys_that_are_left_out_are_rolled_up_over(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append("gpu", pl.concat([gpu_rows(360), gpu_rows(360, node="node-2")]))
        store.flush()
        idle = everything_by_reason(store)
        assert dict(idle.iter_rows()) == {None: 4800.0, "waiting_sandbox": 2400.0}


def everything_by_reason(store) -> pl.DataFrame:
    read = store.read(
        "gpu", start=NOON, end=NOON + timedelta(hours=1), step_seconds=3600, columns=["reason", "seconds"]
    )
    assert read.columns == ["at", "reason", "seconds"]
    return read.select("reason", "seconds")


def test_time_run_and_node_choose_rows(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append("gpu", pl.concat([gpu_rows(360), gpu_rows(360, node="node-2").with_columns(run=pl.lit("r2"))]))
        store.flush()
        assert len(everything(store, run="r2")) == 360
        assert len(everything(store, nodes=["node-1"])) == 360
        assert everything(store, run="r3").is_empty()
        some = store.read("gpu", start=NOON, end=NOON + timedelta(seconds=100), columns=["gpu_util_pct"])
        assert some.columns == ["at", "gpu_util_pct"]
        assert len(some) == 20


def test_unknown_columns_are_refused(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        with pytest.raises(ValueError, match="gpus"):
            store.append("gpu", pl.DataFrame({"gpus": [1]}))
        with pytest.raises(ValueError, match="gpus"):
            everything(store, columns=["gpus"])


def test_notes_and_devices_are_kept_as_they_are(tmp_path: Path) -> None:
    note = pl.DataFrame({"at": [NOON], "node": "n", "kind": "lost", "subject": "3", "text": "fell off the bus"})
    with open_store(str(tmp_path)) as store:
        store.append("notes", note)
        store.flush()
        store.compact(LATER + timedelta(days=2))
        read = store.read("notes", start=NOON - timedelta(hours=1), end=LATER, step_seconds=600)
        assert_frame_equal(read, note, check_dtypes=False)


def test_old_rows_expire_by_age_and_by_size(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        for hours in range(5):
            store.append("gpu", gpu_rows(360, start=NOON + timedelta(hours=hours)))
        store.flush()
        store.expire(NOON + timedelta(hours=5), max_age=timedelta(hours=3))
        assert len(everything(store)) == 360 * 4  # one ended four hours ago, one exactly three
        size = sum(file.stat().st_size for file in tmp_path.rglob("*.parquet"))
        store.expire(NOON + timedelta(hours=5), max_bytes=size * 6 // 10)
        assert len(everything(store)) == 360 * 2
        assert everything(store)["at"].min() == NOON + timedelta(hours=3, seconds=10)


def test_the_default_is_in_the_users_folder_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", "/data")
    monkeypatch.delenv("CLUSTERCTL_TELEMETRY", raising=False)
    assert default_store_url() == "/data/telemetry"
    monkeypatch.setenv("CLUSTERCTL_TELEMETRY", "s3://bucket/t")
    assert default_store_url() == "s3://bucket/t"
    with pytest.raises(SpecError):
        open_store("ftp://somewhere")


def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are opened from here on."""
    opened: list[str] = []
    whole = read.scan

    def scan(files, table, **options):
        opened.extend(file.name for file in files)
        return whole(files, table, **options)

    monkeypatch.setattr(read, "scan", scan)
    return opened


def test_who_asks_for_no_single_gpu_reads_an_eighth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ["node", "reason", "seconds", "gpu_util_pct", "energy_j"]
    with open_store(str(tmp_path)) as store:
        for gpu in range(8):
            store.append("gpu", gpu_rows(360).with_columns(gpu=pl.lit(str(gpu))))
        store.flush()
        before = everything(store, step_seconds=1800, columns=columns)
        store.compact(NOON + timedelta(hours=2))
        opened = files_read(monkeypatch)
        after = everything(store, step_seconds=1800, columns=columns)
        assert [name.rsplit("-", 2)[0] for name in opened] == ["c-600n"]
        assert len(read.scan([next(tmp_path.rglob("c-600n-*"))], "gpu").collect()) == 12, "6 buckets, busy and waiting"
        order = ["at", "reason"]
        utils = [frame.sort(order)["gpu_util_pct"].cast(pl.Int64) for frame in (before, after)]
        assert (utils[0] - utils[1]).abs().max() <= 1, "rolled up twice, rounded twice"
        assert_frame_equal(before.sort(order).drop("gpu_util_pct"), after.sort(order).drop("gpu_util_pct"))
        opened.clear()
        everything(store, step_seconds=1800, columns=["gpu", *columns])
        assert [name.rsplit("-", 2)[0] for name in opened] == ["c-600"]


def test_the_last_minutes_need_the_last_part_and_segments_are_opened_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rows = open_store(str(tmp_path)), gpu_rows(2 * MANY_BATCHES + 5)
    for number, row in enumerate(rows.iter_slices(1), start=1):
        store.append("gpu", row)
        store.flush()
        if number in (MANY_BATCHES, 2 * MANY_BATCHES):
            store.compact(row["at"][0])
    opened, end = files_read(monkeypatch), rows["at"][-1]
    recent = {"start": end - timedelta(minutes=2), "end": end, "step_seconds": 10, "columns": ["seconds"]}
    assert len(store.read("gpu", **recent)) == 12
    assert sorted(name[:2] for name in opened) == ["c-", *5 * ["s-"]]
    opened.clear()
    assert len(store.read("gpu", **recent)) == 12
    assert [name[:4] for name in opened] == ["c-10"]
    assert_frame_equal(everything(store), everything(open_store(str(tmp_path))))
