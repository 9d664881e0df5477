"""A run of a ledger and a data folder named by relative paths: its supervisor and roles, in other folders, use the same."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kill_harness import ThisMachine

from clusterctl.targets.processes import kill, tagged

PATIENCE_SECONDS = 240


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "killed.yaml").write_text(ThisMachine.spec.replace("steps: 12", "steps: 3"), encoding="utf-8")
    yield tmp_path / "data"
    for process in tagged(tmp_path / "data"):
        kill(process)


def test_up_and_down_from_two_folders(store: Path, scripts: Path, tmp_path: Path) -> None:
    def run(folder: Path, *args: str, **environ: str) -> str:
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)} | environ
        command = [str(scripts / "clusterctl"), *args]
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "other").mkdir()
    run(tmp_path, "up", "killed.yaml", "--yes", CLUSTERCTL_HOME="data", CLUSTERCTL_LEDGER="sqlite:///book.db")
    elsewhere = {"CLUSTERCTL_HOME": "../data", "CLUSTERCTL_LEDGER": "../book.db"}
    (seen,) = json.loads(run(tmp_path / "other", "status", "--all", "--json", **elsewhere))
    assert (seen["state"], seen["step"]) == ("finished", 3)
    run(tmp_path / "other", "down", seen["run"], **elsewhere)
    assert list(tagged(store)) == []
    made = {path.name.partition("-")[0] for path in tmp_path.iterdir()}
    assert made == {"book.db", "data", "killed.yaml", "locks", "other"}
    assert list((tmp_path / "other").iterdir()) == []
    assert not (store / "ledger.db").exists()
