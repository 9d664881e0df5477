"""A short series of kills; `make test-engines` runs two hundred."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kill_harness import ThisMachine, kill_many


def test_kills_leave_no_orphans_no_doubles_no_lost_records_and_no_wrong_bills(tmp_path: Path) -> None:
    tally = kill_many(ThisMachine(), tmp_path / "store", kills=8, seed=1, per_round=4)
    assert tally.kills >= 8
    assert tally.wrong() == []
