"""Files that are endless, wait for ever, grow when unpacked or aren't files: every reader has a limit and says so."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from clusterctl import foreign_files
from clusterctl.errors import ClusterctlError
from clusterctl.foreign_files import gunzip, read_limited
from clusterctl.runs.run_alerts import read_samples
from clusterctl.store import partitions
from clusterctl.store.partitions import PartitionManifest
from clusterctl.targets.simulated_place import PlaceSettings

Run = Callable[..., subprocess.CompletedProcess[str]]
SPEC = Path(__file__).resolve().parents[2] / "templates" / "specs" / "quickstart.yaml"
READERS = {
    "spec": ("plan", "FILE"),
    "compared plan": ("plan", str(SPEC), "--compare", "FILE"),
    "run": ("up", "FILE", "--dry-run"),
    "cases": ("validate", "FILE"),
    "program": ("sandbox", "run", "FILE"),
    "program's input": ("sandbox", "run", str(SPEC), "--stdin", "FILE"),
    "offers": ("prices", "import", "FILE"),
    "bill": ("bill", "import", "FILE"),
    "packed bill": ("bill", "import", "FILE.csv.gz"),
    "Parquet bill": ("bill", "import", "FILE.parquet"),
    "token": ("sandbox", "serve", "--port", "0", "--token-file", "FILE"),
    "ledger": ("status",),
}


def made(kind: str, file: Path) -> None:
    if kind == "a pipe that nobody writes to":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    elif kind == "endless":
        file.symlink_to("/dev/zero")
    elif kind == "a terminal's file":
        file.symlink_to("/dev/stdin")
    elif kind == "sparse":
        with file.open("wb") as stream:
            stream.truncate(1 << 40)


@pytest.mark.parametrize("kind", ["a pipe that nobody writes to", "a folder", "endless", "a terminal's file", "sparse"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_it(
    reader: str, kind: str, in_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_files, "PIPE_IDLE_SECONDS", 0.1)
    name = next((word for word in READERS[reader] if word.startswith("FILE")), "FILE")
    made(kind, tmp_path / name)
    started = time.monotonic()
    environ = {"CLUSTERCTL_LEDGER": str(tmp_path / "FILE")} if reader == "ledger" else {}
    done = in_process(*READERS[reader], **environ)
    assert done.returncode in (2, 4, 5), done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert name in done.stderr
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("kind", ["a pipe that nobody writes to", "a folder", "endless", "sparse"])
def test_what_a_job_writes_is_read_without_waiting(kind: str, tmp_path: Path) -> None:
    made(kind, tmp_path / "file")
    assert list(read_samples(tmp_path / "file")) == []
    with pytest.raises(ClusterctlError, match="can't be read"):
        PlaceSettings.read(tmp_path / "file")


def test_a_pipe_may_stand_for_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"x" * 200_000))
    writer.start()
    assert read_limited(tmp_path / "pipe", 200_000, pipe=True) == b"x" * 200_000
    writer.join()
    with pytest.raises(OSError, match="it is no regular file"):
        read_limited(tmp_path / "pipe", 200_000)


def test_the_limit_is_exact_and_said(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 4096)
    assert len(read_limited(file, 4096)) == 4096
    with pytest.raises(OSError, match="it is larger than 3 KiB, the most that is read"):
        read_limited(file, 4095)
    with pytest.raises(OSError, match="no name of a file"):
        read_limited("a\0b", 1)


def test_what_gzip_packed_is_unpacked_within_limits() -> None:
    content = os.urandom(70_000)
    assert gunzip(gzip.compress(content[:9]) + gzip.compress(content[9:]) + b"\0\0", 70_000) == content
    for damaged, said in (
        (gzip.compress(bytes(40 << 20), 1), "unpacked it is larger than 34 MiB, the most that is read"),
        (gzip.compress(content), "unpacked it is larger than 58 KiB"),
        (gzip.compress(content[:9])[:-3], "it is cut off"),
        (b"\x1f\x8b\x08nothing", "it is damaged"),
        (gzip.compress(content[:9])[:-3] + b"abc", "it is damaged"),
    ):
        with pytest.raises(OSError, match=said):
            gunzip(damaged, 60_000 if "KiB" in said else 1 << 30)


@pytest.mark.parametrize(
    "kept",
    [
        b"[" * 20_000,
        b"[]",
        b'{"parts": {"x": []}, "merged": {}, "is_in_pieces": false}',
        b'{"parts": {"10": [[{}, "a", "b", 0, 1]]}, "merged": {}, "is_in_pieces": false}',
        b'{"parts": {"10": [["c", "a", "b", [], 1]]}, "merged": {}, "is_in_pieces": false}',
        b'{"parts": {"10": [["c", "a", "b", NaN, 1]]}, "merged": {}, "is_in_pieces": false}',
        b'{"parts": {"10": [["../../c", "a", "b", 0, 1]]}, "merged": {}, "is_in_pieces": false}',
        b'{"parts": {}, "merged": {"w": [[1]]}, "is_in_pieces": false}',
    ],
)
def test_a_manifest_under_a_right_checksum_may_still_be_none(kept: bytes) -> None:
    line = kept + b"\n"
    with pytest.raises(ValueError, match=r"it is no manifest|invalid literal|not enough values"):
        PartitionManifest.from_json(1, line + partitions._checksum(line).encode())


def test_nested_texts_of_a_job_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_bytes(
        b"[" * 20_000 + b'\n{"step": 1e999, "text": ""}\n{"step": 1, "text": "x"}\n'
    )
    assert [sample.text for sample in read_samples(tmp_path / "samples.jsonl")] == ["x"]


def test_a_lower_limit_of_memory_is_kept(tmp_path: Path) -> None:
    """Of address space, by whoever started us: the process that reads Parquet may not raise it."""
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "a.parquet")
    code = "import pathlib; from clusterctl.foreign_frames import read_foreign_parquet as read; print(len(read(pathlib.Path('a.parquet').read_bytes())))"
    command = ["prlimit", f"--as={4 << 30}", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
