"""Full disks, clocks that jump, damaged files, other versions: one clear message, and the rest is still there."""

from __future__ import annotations

import os
import random
import resource
import shutil
import subprocess
import sys
import zlib
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from test_store import LATER, NOON, age, everything, gpu_rows

from clusterctl.errors import StateError
from clusterctl.store import open_store
from clusterctl.store.writer import Writer

SMALL_FILES = 1000
"""Bytes that a file may have, where a disk is to be full: less than a batch's."""


@pytest.fixture
def full_disk():
    """While called with True, no file grows beyond SMALL_FILES: write() fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full(yes: bool) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILES if yes else soft, hard))

    yield full
    full(False)


def notes(store) -> list[tuple[str, str, str]]:
    return (
        store.read("notes", start=NOON - timedelta(days=1), end=NOON + timedelta(days=1))
        .select("node", "subject", "text")
        .rows()
    )


def test_a_full_disk_loses_nothing_that_fits_in_memory(tmp_path: Path, full_disk) -> None:
    store = open_store(str(tmp_path))
    for number in range(3):
        store.append("gpu", gpu_rows(100, start=NOON + timedelta(seconds=1000 * number)))
        full_disk(number < 2)
        store.flush()
        assert bool(store.problems()) == (number < 2)
    assert len(everything(store)) == 300
    assert notes(store) == []
    assert not list(tmp_path.rglob("*.part"))


def test_what_does_not_fit_in_memory_becomes_a_gap_that_is_noted(tmp_path: Path, full_disk) -> None:
    store = open_store(str(tmp_path), node="node-1")
    store._writer = Writer(store.object_store, node="node-1", max_bytes=40_000)
    full_disk(True)
    for number in range(20):
        store.append("gpu", gpu_rows(100, start=NOON + timedelta(seconds=1000 * number)))
        store.flush()
    assert store.problems() == (f"{tmp_path} can't be written: File too large",)
    full_disk(False)
    store.flush()
    assert store.problems() == ()
    store.flush()
    kept = everything(store)
    assert 200 <= len(kept) <= 1000
    assert kept["at"].max() == NOON + timedelta(seconds=20_000)
    ((node, subject, text),) = notes(store)
    assert (node, subject) == ("node-1", "gpu")
    assert (
        text
        == f"{2000 - len(kept)} rows from 2026-05-04 12:00:10 UTC on were dropped: {tmp_path} can't be written: File too large"
    )


def test_closing_a_store_that_can_t_be_written_says_what_is_lost(tmp_path: Path, full_disk) -> None:
    store = open_store(str(tmp_path))
    store.append("gpu", gpu_rows(100))
    full_disk(True)
    with pytest.raises(StateError, match="100 rows of telemetry are lost"):
        store.close()


def test_rows_of_a_clock_that_went_back_are_all_kept(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for minutes in (0, 10, 5):
        store.append("gpu", gpu_rows(60, start=NOON + timedelta(minutes=minutes)))
        store.flush()
    assert len(everything(store)) == 180
    store.compact(LATER)
    assert everything(store)["seconds"].sum() == 1800
    assert everything(store, step_seconds=600)["energy_j"].sum() == 180 * 5000


def damage(kind: str, file: Path, seed: int) -> None:
    content, rng = bytearray(file.read_bytes()), random.Random(seed)
    if kind == "bits":
        for _ in range(rng.choice([1, 5])):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == "cut":
        del content[rng.randrange(len(content)) :]
    elif kind == "zeros":
        first = rng.randrange(len(content) - 1)
        content[first : first + 4096] = bytes(len(content[first : first + 4096]))
    elif kind == "empty":
        content.clear()
    file.write_bytes(content)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["bits", "cut", "zeros", "empty"])
@pytest.mark.parametrize("compacted", [False, True])
def test_a_damaged_file_is_left_out_and_said_once(tmp_path: Path, kind: str, seed: int, compacted: bool) -> None:
    with open_store(str(tmp_path)) as store:
        for node in ("node-1", "node-2"):
            store.append(
                "gpu", pl.concat([gpu_rows(300, node=node), gpu_rows(300, node=node, start=NOON + timedelta(hours=1))])
            )
            store.flush()
        if compacted:
            store.compact(LATER)
            age(tmp_path)
            store.compact(LATER)
    files = sorted(tmp_path.rglob("c-10-*" if compacted else "s-*"))
    damage(kind, files[seed % len(files)], seed)
    store = open_store(str(tmp_path))
    for _ in range(2):
        assert len(everything(store)) == 1200 - (600 if compacted else 300)
        (problem,) = store.problems()
        assert problem.startswith(f"{tmp_path}/v1/gpu/")
        assert problem.endswith(("is left out: its checksum differs", "is left out: cannot mmap an empty file"))
    store.compact(LATER)  # neither hides the damage nor stumbles over it
    age(tmp_path)
    store.compact(LATER)
    assert len(everything(store)) == 1200 - (600 if compacted else 300)
    assert files[seed % len(files)].exists()


def test_a_damaged_manifest_is_said_and_nothing_is_removed(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append("gpu", gpu_rows(300))
        store.flush()
        store.compact(LATER)
    (manifest,) = tmp_path.rglob("m-*")
    manifest.write_bytes(manifest.read_bytes().replace(b"node-1", b"node-7"))
    before = sorted(tmp_path.rglob("*"))
    store = open_store(str(tmp_path))
    age(tmp_path, hours=48)
    store.compact(LATER)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(everything(store)) == 300  # from the batch, which was not removed yet
    (problem,) = store.problems()
    assert problem.endswith("m-000001.json can't be read and is left out: its checksum differs")


def test_a_manifest_that_is_none_is_said_though_its_checksum_is_right(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append("gpu", gpu_rows(300))
        store.flush()
        store.compact(LATER)
    (manifest,) = tmp_path.rglob("m-*")
    for content in (b"[]\n", b'{"parts": {"10": [1]}}\n', b"7\n", b'{"parts": {}, "merged": 3}\n'):
        manifest.write_bytes(content + f"{zlib.crc32(content):08x}\n".encode())
        store = open_store(str(tmp_path))
        assert len(everything(store)) == 300
        (problem,) = store.problems()
        assert problem.endswith("m-000001.json can't be read and is left out: it is no manifest")


def test_a_pipe_or_a_folder_in_place_of_a_file_holds_nothing_up(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append("gpu", gpu_rows(300))
    (batch,) = tmp_path.rglob("s-*")
    os.mkfifo(batch.with_name("s-other-000001-00000000.parquet"))
    batch.with_name("s-other-000002-00000000.parquet").mkdir()
    (tmp_path / "v1" / "compacted").mkdir()
    os.utime(tmp_path / "v1" / "compacted", (0, 0))
    subprocess.run([sys.executable, "-m", "clusterctl.store.compact", str(tmp_path)], check=True)
    store = open_store(str(tmp_path))
    assert len(everything(store)) == 300
    assert store.problems() == ()
    assert list(tmp_path.rglob("m-*"))


def test_another_version_beside_ours_is_said(tmp_path: Path) -> None:
    with open_store(str(tmp_path)) as store:
        store.append("gpu", gpu_rows(10))
    shutil.copytree(tmp_path / "v1", tmp_path / "v2")
    assert len(everything(store)) == 10
    assert store.problems() == (
        f"{tmp_path} holds telemetry of version 2 too, which this clusterctl does not read: it reads version 1",
    )


def test_a_column_that_came_later_is_null_in_older_rows(tmp_path: Path, monkeypatch) -> None:
    from planners.telemetry import tables

    with open_store(str(tmp_path)) as store, monkeypatch.context() as older:
        older.setitem(tables.TABLES, "gpu", {k: v for k, v in tables.GPU.items() if k != "tensor_active_pct"})
        store.append("gpu", gpu_rows(10))
        store.flush()
    assert everything(store)["tensor_active_pct"].to_list() == [None] * 10


def test_what_is_no_telemetry_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "v1" / "gpu" / "lost+found").mkdir(parents=True)
    (tmp_path / "v1" / "gpu" / "README").write_text("hello")
    (tmp_path / "v1" / "gpu" / "2026-05-04" / "12").mkdir(parents=True)
    (tmp_path / "v1" / "gpu" / "2026-05-04" / "12" / "notes.txt").write_text("hello")
    store = open_store(str(tmp_path))
    assert everything(store).is_empty()
    assert store.span() is None
    assert store.problems() == ()


def test_a_folder_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = open_store(str(tmp_path / "file"))
    assert everything(store).is_empty()
    assert store.problems() == (f"{tmp_path}/file can't be listed: Not a directory",)


def test_a_store_needs_no_extra_until_it_is_a_bucket(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['obstore'] = None\n"
        "from clusterctl.store import open_store\n"
        "open_store(sys.argv[1]).flush()\n"
        "try:\n    open_store('s3://bucket')\n"
        "except Exception as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "pip install 'clusterctl[telemetry]'\n"
