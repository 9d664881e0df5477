"""Damaged files of live runs: each file once, each kind of damage as often as every other.

`python tests/clusterctl/runs/damage_harness.py FOLDER` tries every file with every damage, which takes an hour.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from damage_harness import damage_many, some_of
from kill_harness import ThisMachine

CASES = 25


def test_down_ends_a_run_whatever_its_folder_looks_like(tmp_path: Path) -> None:
    tally = damage_many(ThisMachine(), tmp_path, lambda files: some_of(files, most=CASES, seed=20261123))
    assert sum(tally.faults.values()) >= 20
    assert tally.wrong == []
