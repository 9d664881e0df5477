"""What goes wrong on a Slurm cluster, beside kills: a node is lost, the scheduler hangs, a laptop has no network."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from pathlib import Path

from run_faults import NOTHING, Stopped
from slurm import cluster
from slurm_record import KILLS, records

QUIET = threading.Lock()
"""Held by what disturbs all stores, and by who wants none of that."""


class Hangs(Stopped):
    """SIGSTOP of what is in the place."""

    def inject(self, store: Path) -> bool:
        """Stops what lives there now."""
        return super().inject(KILLS / store.name)


@dataclass
class NodeLost:
    """The power of a node is cut on which a run works and no supervisor: for that one Slurm waits two minutes."""

    chance: random.Random
    spoils: frozenset[str] = NOTHING

    def inject(self, store: Path) -> bool:
        """One of those where this store has an allocation."""
        if not QUIET.acquire(blocking=False):  # first: a scheduler that hangs can't be asked
            return False
        lost: list[str] = []
        try:
            lost = self._nodes(store)
        finally:
            if not lost:
                QUIET.release()
        if not lost:
            return False
        self._node = self.chance.choice(lost)
        cluster.switch_off(self._node)
        return True

    def _nodes(self, store: Path) -> list[str]:
        """Those that may be lost."""
        runs = [folder.name for folder in (KILLS / store.name / "runs").glob("*")]
        jobs = [job for job in records() if job["JobState"] == "RUNNING"]
        spared = {job["NodeList"] for job in jobs if job["JobName"].startswith("clusterctl-supervisor")}
        mine = {job["NodeList"] for job in jobs if any(f"run={run}," in job.get("Comment", "") for run in runs)}
        return sorted((mine - spared) & set(cluster.NODES))

    def undo(self) -> None:
        """It is back."""
        cluster.start(self._node)
        QUIET.release()


@dataclass
class SchedulerHangs:
    """slurmctld answers nobody."""

    spoils: frozenset[str] = NOTHING

    def inject(self, store: Path) -> bool:
        """Stops it."""
        if not QUIET.acquire(blocking=False):
            return False
        cluster.run("login", "pkill", "-STOP", "-x", "slurmctld")
        return True

    def undo(self) -> None:
        """Lets it go on."""
        cluster.run("login", "pkill", "-CONT", "-x", "slurmctld")
        QUIET.release()


@dataclass
class Unreached:
    """A laptop without a network."""

    spoils: frozenset[str] = NOTHING

    def inject(self, store: Path) -> bool:
        """The login node's address is nobody's."""
        self._config = store / ".slurm" / "config"
        self._text = self._config.read_text()
        self._config.write_text(self._text.replace(cluster.LOGIN, f"{cluster.NETWORK}.99"))
        return True

    def undo(self) -> None:
        """It is back."""
        self._config.write_text(self._text)
