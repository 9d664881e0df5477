"""A ledger in a store of its own, and a run of the stand-in jobs in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.runs.run import OpenRun
from clusterctl.targets.processes import kill, tagged

sys.path.insert(0, str(Path(__file__).parent))

from run_world import opened, stand_in_jobs


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(str(tmp_path / "ledger.db")) as opened_ledger:
        yield opened_ledger
    for process in tagged(tmp_path):  # whatever a failing test has left
        kill(process)


@pytest.fixture
def run(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> OpenRun:
    stand_in_jobs(monkeypatch)
    return opened(tmp_path, ledger)
