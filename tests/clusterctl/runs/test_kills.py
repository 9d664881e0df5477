"""A few kills and faults, on this machine and in the simulated place side by side: `make test-engines` does hundreds."""

from __future__ import annotations

from pathlib import Path

from fake_place import FakePlace
from kill_harness import ThisMachine, kill_many


def test_a_few_kills_and_faults(tmp_path: Path) -> None:
    tally = kill_many([ThisMachine(), FakePlace()], tmp_path, kills=6, seed=20261123, stores=2, per_round=5)
    assert tally.kills >= 6
    assert tally.wrong == []
