"""Where the supervisor of a run lives when it is a process of this machine."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.clock import Beat, SteadyClock, seconds_since, this_boot, uptime
from clusterctl.foreign_files import read_tail, replace_whole
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.targets import processes
from clusterctl.targets.base import SUPERVISOR, RunRef
from clusterctl.targets.processes import RESOURCE_TAG, ROLE_TAG, RUN_TAG, STORE_TAG, tagged
from clusterctl.targets.supervisor_home import SupervisorHome
from clusterctl.targets.wishes import Wish, heed, last_beat

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

KEPT_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV", "SYSTEMROOT", "XDG_DATA_HOME",
    "CLUSTERCTL_TELEMETRY",
)  # fmt: skip
"""What a process of a run inherits.  Nothing else: credentials of the terminal have no business in a job."""
SUPERVISOR_VARIABLES = (
    "CLUSTERCTL_LEDGER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE",
    "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY",
)  # fmt: skip
"""What a supervisor needs to reach the ledger.  Never an argument, and no role's: it may hold a password."""


class ThisMachine(SupervisorHome):
    """Supervisors are detached processes, found by the tags in their environment."""

    hung_seconds = 30.0
    """It beats every second."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def start(self, ledger: Ledger, run: RunRef, environment: Mapping[str, str]) -> str:  # noqa: ARG002 - it opens it
        """Start one, detached, its output in the run's log of it where that can be written."""
        own = environment_of(run, self.store, SUPERVISOR, f"{run.run_id}/{SUPERVISOR}") | dict(environment)
        log = processes.log_or_nothing(run.folder / "logs" / f"{SUPERVISOR}.log")
        command = supervisor_command(self.store, run.run_id)
        return processes.spawn(command, folder=self.store, environment=own, log=log)

    def find(self, run_id: str) -> Sequence[str]:
        """Addresses of the run's supervisors, the oldest first."""
        found = [p for p in tagged(self.store) if (p.tags.get(RUN_TAG), p.tags.get(ROLE_TAG)) == (run_id, SUPERVISOR)]
        return [process.address for process in sorted(found, key=lambda process: process.started_at)]

    def age_seconds(self, address: str) -> float:
        """Since it was started."""
        return (datetime.now(tz=UTC) - processes.started_at(address)).total_seconds()

    def alive(self, address: str) -> bool:
        """Whether it still runs."""
        return processes.alive(address)

    def end(self, address: str) -> None:
        """KILL, which also ends one that was stopped."""
        processes.end(address, grace_seconds=0.0)

    def note(self, run_id: str) -> None:
        """The moment, by this machine's uptime, in a file beside the runs' folders."""
        file = self._note_of(run_id)
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_whole(file, f"{this_boot()} {uptime()}".encode("ascii"))

    def noted_seconds(self, run_id: str) -> float | None:
        """Of this boot; None where it is of another, or there is none."""
        boot_id, _, noted = read_tail(self._note_of(run_id), 100).rpartition(" ")
        with contextlib.suppress(ValueError):
            return max(uptime() - float(noted), 0.0) if noted and boot_id == this_boot() else None
        return None

    def watches(self, ledger: Ledger, run_id: str) -> bool:
        """Whether a live process holds the run's lock."""
        try:
            with self.may_take_over(ledger, run_id):
                return False
        except LockHeldError:
            return True

    def beat_seconds(self, beat: Beat) -> float:
        """By the uptime of this machine, where the beat is of this boot."""
        return seconds_since(beat)

    def may_take_over(self, ledger: Ledger, run_id: str) -> AbstractContextManager[object]:
        """The run's lock."""
        return run_lock(ledger, run_id, SUPERVISOR)

    def wish(self, ledger: Ledger, run: RunRef, wish: Wish) -> None:
        """Into the ledger."""
        clock = SteadyClock(last_beat(ledger.get_run(run.run_id)))
        heed(ledger, run.run_id, wish, at=clock.now())

    def has_folder(self, run: RunRef) -> bool:
        """Whether it is on this machine."""
        return run.folder.is_dir()

    def _note_of(self, run_id: str) -> Path:
        return self.store / "supervisors" / run_id


def supervisor_command(store: Path, run_id: str) -> list[str]:
    """How a supervisor is started."""
    return [sys.executable, "-P", "-m", "clusterctl.runs.supervisor", str(store), run_id]


def supervisor_environment() -> dict[str, str]:
    """What of this process's environment a supervisor needs besides."""
    return {name: os.environ[name] for name in SUPERVISOR_VARIABLES if name in os.environ}


def environment_of(run: RunRef, store: Path, role: str, resource_id: str) -> dict[str, str]:
    """Tags, and the little that a process needs of this terminal's environment."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    own = {RUN_TAG: run.run_id, ROLE_TAG: role, RESOURCE_TAG: resource_id, STORE_TAG: str(store)}
    tags = {f"CLUSTERCTL_TAG_{variable(name)}": value for name, value in run.tags.items()}
    return kept | tags | own | {"CLUSTERCTL_HOME": str(store), "PYTHONUNBUFFERED": "1"}


def variable(tag: str) -> str:
    """`clusterctl.dev/plan-id` as a part of a variable's name: PLAN_ID."""
    return tag.rpartition("/")[2].upper().replace("-", "_")
