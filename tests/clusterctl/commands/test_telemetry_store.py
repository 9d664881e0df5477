"""`clusterctl telemetry status` and `compact`, and the helper that agents start."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from clusterctl.store import open_store
from clusterctl.telemetry import compaction
from clusterctl.telemetry.agent import Agent, AgentSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of ten days, a batch every five hours."""
    store = open_store(str(tmp_path / "telemetry"))
    today = datetime.now(tz=UTC).replace(minute=0, second=0, microsecond=0)
    for hours in range(0, 240, 5):
        at = today - timedelta(hours=hours)
        store.append("gpu", pl.DataFrame({"at": [at], "node": "n", "gpu": "0", "seconds": 10.0, "power_w": 300}))
    store.close()
    return tmp_path / "telemetry"


def test_status_says_what_there_is(in_process, folder: Path) -> None:
    done = in_process("telemetry", "status", "--store", str(folder))
    assert done.returncode == 0, done.stderr
    where, header, row = done.stdout.splitlines()
    assert where.startswith(f"{folder}: 20")
    assert header.split() == ["table", "since", "MiB", "not", "compacted", "files"]
    assert row.split()[0] == "gpu"
    assert row.split()[-1] == "48"
    told = json.loads(in_process("telemetry", "status", "--json", "--store", str(folder)).stdout)
    assert (told["store"], told["problems"]) == (str(folder), [])
    assert (told["tables"][0]["table"], told["tables"][0]["batches"]) == ("gpu", 48)


def test_status_of_nothing_and_of_a_server_that_is_gone(in_process, tmp_path: Path) -> None:
    assert (
        in_process("telemetry", "status", "--store", str(tmp_path / "none")).stdout == f"{tmp_path}/none: nothing yet\n"
    )
    done = in_process("telemetry", "status", "--store", "prometheus+http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, "http://127.0.0.1:9: unknown\n")
    assert done.stderr == "warning: http://127.0.0.1:9 does not answer: Connection refused\n"


def test_compact_merges_and_removes_what_is_old(in_process, folder: Path) -> None:
    done = in_process("telemetry", "compact", "--keep-days", "5", "--store", str(folder))
    assert done.returncode == 0, done.stderr
    assert "48 files" in done.stdout
    kept = open_store(str(folder)).read("gpu", start=datetime(2020, 1, 1, tzinfo=UTC), end=datetime.now(tz=UTC))
    assert 23 <= len(kept) <= 25
    assert in_process("telemetry", "compact", "--keep-gib", "0", "--store", str(folder)).returncode == 0
    assert not list(folder.rglob("*.parquet"))


def test_what_can_t_be_read_is_a_warning(in_process, folder: Path) -> None:
    batch = next(folder.rglob("s-*"))
    batch.write_bytes(b"damaged")
    done = in_process("telemetry", "compact", "--store", str(folder))
    assert done.returncode == 0
    assert done.stderr == f"warning: {batch} can't be read and is left out: its checksum differs\n"


def test_a_store_that_can_t_be_read_at_all_is_an_error(in_process, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for command in (["compact"], ["export", "gpu"], ["export", "gpu", "--since", "99999999999d"]):
        done = in_process("telemetry", *command, "--store", str(tmp_path / "file"))
        assert (done.returncode, done.stdout) == (5, "")
        assert done.stderr.startswith(f"error: {tmp_path}/file can't be listed: Not a directory\n\nhint: ")


def test_an_agent_compacts_its_folder_now_and_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path))
    running = Agent(AgentSettings(store=str(folder), node="n"))
    running._compact()
    assert running._compaction._process is None  # not yet
    monkeypatch.setattr(compaction, "COMPACT_SECONDS", 0.0)
    running._compact()
    assert running._compaction._process is not None
    assert running._compaction._process.wait(60) == 0
    manifests = list(folder.rglob("m-*"))
    assert len(manifests) >= 47  # of each hour but the last
    began = time.time()
    subprocess.run([sys.executable, "-m", "clusterctl.store.compact", str(folder)], check=True)  # another agent's
    assert all(file.stat().st_mtime < began for file in folder.rglob("*"))  # it has just been done
