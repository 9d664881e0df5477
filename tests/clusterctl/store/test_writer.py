"""What waits for a disk that fails: kept, in order, within bounds; what is dropped is counted."""

from __future__ import annotations

import errno
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from clusterctl.store import open_object_store
from clusterctl.store.writer import RowBatch, Writer

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def batch(hour: int, *, size: int = 10) -> RowBatch:
    first = NOON + timedelta(hours=hour)
    return RowBatch(table="gpu", content=b"x" * size, rows=8, first=first, last=first + timedelta(minutes=1))


def test_what_failed_is_written_later_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    object_store = open_object_store(str(tmp_path))
    writer = Writer(object_store, node="n/1")
    with monkeypatch.context() as full:
        full.setattr(object_store, "put", _full)
        writer.add(batch(0))
        writer.add(batch(1))
        writer.send()
        assert writer.failure == f"{tmp_path} can't be written: No space left on device"
        assert writer.waiting_rows() == 16
    writer.send()
    writer.send()
    assert (writer.failure, writer.waiting_rows(), writer.gaps()) == (None, 0, [])
    names = sorted(file.name for file in tmp_path.rglob("*.parquet"))
    assert [name.rpartition("-")[0] for name in names] == [f"s-{writer.name}-00000{number}" for number in (1, 2)]
    assert writer.name.startswith("n_1-")


def test_the_oldest_is_dropped_and_becomes_one_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    object_store = open_object_store(str(tmp_path))
    monkeypatch.setattr(object_store, "put", _full)
    writer = Writer(object_store, node="n", max_bytes=25)
    for hour in range(4):
        writer.add(batch(hour))
        writer.send()
    assert writer.waiting_rows() == 16
    (gap,) = writer.gaps()
    assert gap["at"] == NOON + timedelta(hours=1, minutes=1)
    assert (gap["kind"], gap["subject"], gap["node"]) == ("gap", "gpu", "n")
    assert gap["text"].startswith("16 rows from 2026-05-04 12:00:00 UTC on were dropped: ")
    assert writer.gaps() == []


def _full(*_: object) -> bool:
    raise OSError(errno.ENOSPC, "No space left on device")
