"""Kills of runs on a real Slurm: supervisors and their scripts, SkyPilot, ranks, roles and commands, with lost nodes and a
scheduler that hangs; the bill is that of the scheduler's own record."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "clusterctl" / "runs"))

from kill_harness import DOWN, SPOILED_CODES, Bench, Tally
from run_checker import microseconds, read_tables
from run_samples import Sampler
from slurm.cluster import PLACE_PYTHON
from slurm_faults import QUIET
from slurm_place import OnSlurm, victims
from slurm_record import KILLS, allocations, end_jobs

WORKS_SECONDS = 900.0
"""For SkyPilot to prepare an allocation and to start a role: a minute and a half where two cores do nothing else."""
MOST_DOWNS_SHARE = 0.8
"""Of a round's events before a run may be ended: making another one takes a minute."""
MOST_AT_ONCE = 3
"""Kills between two commands."""
ROUNDING_SECONDS = 1.0
"""The scheduler's record has whole seconds."""


class SlurmBench(Bench):
    """A laptop, and its folder in the place."""

    command_seconds, leaves_seconds = 400.0, 90.0
    worked = 0
    """Rounds in which a role ran when it was killed."""
    share = 0.0
    """Of the round's events that is over."""

    def __init__(self, store: Path, sampler: Sampler, *, seed: int, steps: int) -> None:
        super().__init__(OnSlurm(), store, sampler, seed=seed, steps=steps)
        there = {"CLUSTERCTL_PLACE": str(self.root), "CLUSTERCTL_PLACE_PYTHON": PLACE_PYTHON}
        self.environment |= {"HOME": str(store), **there}

    def pause(self, share: float) -> None:
        """Half of the kills hit while machines are made, half while roles work on them."""
        before, self.share = self.share, share
        if before < 0.5 <= share:
            self.run("up", disturbed=True)  # the one before may have been killed before the run was known
            if not self.until(self._works_or_has_ended, WORKS_SECONDS, pause_seconds=1.0):
                self.tally.wrong.append(f"no role has worked for {WORKS_SECONDS:.0f} s after `up`")
            self.worked += bool(victims(self.root, "trainer"))
        time.sleep(self.chance.uniform(0.0, 3.0))

    def _works_or_has_ended(self) -> bool:
        return bool(victims(self.root, "trainer")) or self._has_ended()

    def at_once(self) -> int:
        """A command takes longer than all else: what is killed with another thing must come back without its help."""
        return self.chance.randint(1, MOST_AT_ONCE)

    def run(self, name: str, *, disturbed: bool = False) -> None:
        """What happens to the cluster happens to all of its users; `down` has no excuse while nothing does."""
        if name != "down" or self.share < MOST_DOWNS_SHARE:
            super().run("status" if name == "down" else name, disturbed=True)
            return
        with QUIET:
            self.say(*DOWN, allowed=SPOILED_CODES if self.spoiled["run"] else (0, 2))

    def report_cost(self) -> None:
        """Reports are files of another user."""

    def check(self) -> None:
        """Also that each node is billed for what the scheduler says, to the second."""
        with QUIET:
            super().check()
            tables, lost = read_tables(self.ledger), self.spoiled["bill"]
            found = allocations(self.root)
        exact = {str(run["run_id"]) for run in tables.runs if "did not answer" not in str(run["note"])} - lost
        for each in (each for each in found if each.run in exact):
            for identity in each.resources:
                billed = sum(microseconds(row) for row in tables.costs if row["resource_id"] == identity) / 1e6
                if abs(billed - (each.until - each.since)) > ROUNDING_SECONDS:
                    self.tally.wrong.append(f"{identity}: {billed:.1f} s billed of {each.until - each.since:.0f} s")


def kill_many(root: Path, *, kills: int, seed: int, stores: int, per_round: int) -> tuple[Tally, int]:
    """As that of kill_harness.py; and in how many rounds a role ran."""
    total, worked, benches = Tally(), 0, list[SlurmBench]()

    def work(number: int) -> SlurmBench:
        bench = SlurmBench(root / f"store-{number}", sampler, seed=seed + number, steps=30 + 60 * number)
        benches.append(bench)
        while sum(each.tally.kills for each in benches) < kills:
            before = len(bench.tally.wrong)
            bench.one_round(per_round)
            label = f"[seed {seed + number}, store-{number}] "
            bench.tally.wrong[before:] = [label + what for what in bench.tally.wrong[before:]]
        return bench

    with Sampler(KILLS) as sampler, ThreadPoolExecutor(stores) as pool:
        for bench in pool.map(work, range(stores)):
            total.add(bench.tally)
            worked += bench.worked
    return total, worked


@pytest.fixture
def laptops(slurm_cluster: ModuleType, tmp_path: Path) -> Iterator[Path]:
    """The folder of the stores."""
    yield tmp_path
    end_jobs()


@pytest.mark.slow
def test_fifty_kills_on_slurm(laptops: Path) -> None:
    tally, worked = kill_many(laptops, kills=50, seed=20261130, stores=2, per_round=22)
    print(tally.kills, tally.faults, worked)
    assert tally.wrong == []
    assert worked


@pytest.mark.slow
def test_two_hundred_kills_on_slurm(laptops: Path) -> None:
    tally, worked = kill_many(laptops, kills=200, seed=20261131, stores=3, per_round=22)
    print(tally.kills, tally.faults, worked)
    assert tally.wrong == []
    assert worked
