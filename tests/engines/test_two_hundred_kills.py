"""Two hundred kills: of real runs in the real sandbox, in the simulated place, and in one far away with its own supervisors;
and the faults between them: what `make test` does six times."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from fake_place import FakePlace, FarPlace
from kill_harness import ThisMachine, kill_many


def test_two_hundred_kills(tmp_path: Path) -> None:
    tally = kill_many(
        [ThisMachine(), FakePlace(), FarPlace()], tmp_path, kills=200, seed=20261123, stores=6, per_round=8
    )
    print(tally.faults)
    assert tally.kills >= 200
    assert tally.wrong == []
