"""Two hundred kills: of real runs in the real sandbox, and in the simulated place, and the faults between them: what
`make test` does six times.  More of runs in a place far away, with their own supervisors, are slow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from fake_place import FakePlace, FarPlace
from kill_harness import ThisMachine, kill_many


def test_two_hundred_kills(tmp_path: Path) -> None:
    tally = kill_many([ThisMachine(), FakePlace()], tmp_path, kills=200, seed=20261123, stores=4, per_round=8)
    print(tally.faults)
    assert tally.kills >= 200
    assert tally.wrong == []


@pytest.mark.slow
def test_kills_far_away(tmp_path: Path) -> None:
    tally = kill_many([FarPlace()], tmp_path, kills=70, seed=20261123, stores=2, per_round=8)
    print(tally.faults)
    assert tally.wrong == []
