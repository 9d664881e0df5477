"""Writing: a whole file or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from clusterctl.errors import ClusterctlError
from clusterctl.specfile.write import write_atomic


def test_it_writes_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a.txt", "größe\n")
    write_atomic(tmp_path / "a.txt", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ClusterctlError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.txt"
    real.write_text("old")
    real.chmod(0o640)
    (tmp_path / "link.txt").symlink_to(real)
    write_atomic(tmp_path / "link.txt", "new")
    assert (tmp_path / "link.txt").is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_obeys_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a.txt", "x")
    finally:
        os.umask(previous)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ClusterctlError, match="cannot be written: No such file"):
        write_atomic(tmp_path / "nowhere" / "a.txt", "x")
