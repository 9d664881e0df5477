"""The home of a supervisor that lives in the place of its run: the run's ledger is on this node's own disk, its mirror
and a lease are in the run's folder, which other nodes and laptops see.

A lease is a number: who makes the file of the next number owns the run, and leaves as soon as there is a higher one.
The next one is taken when the owner had this disk's lock and is gone, or when its lease was not renewed for
LEASE_SECONDS; an owner that can't renew it for RENEW_SHARE of that does nothing more.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.foreign_files import link_over, read_limited, replace_synced, replace_whole
from clusterctl.json_text import json_text
from clusterctl.ledger import ledger_url
from clusterctl.ledger.locks import LockHeldError, LockLostError
from clusterctl.targets.home import ThisMachine
from clusterctl.targets.wishes import MOST_WISH_BYTES, Wish, read_wish

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

IN_PLACE = "CLUSTERCTL_IN_PLACE"
"""Variable that says to a supervisor that it lives in the place of its run."""
LEASE_VARIABLE = "CLUSTERCTL_LEASE_SECONDS"
"""Variable that states LEASE_SECONDS for a place."""
MIRROR, OLD_MIRROR, LEASE, LEASES = "ledger.db", "ledger.before.db", "lease", "leases"
CONTROL, ACKNOWLEDGED, BEAT, DISK = "control.json", "acknowledged", "beat", "disk"
ENDED = "ended"
"""In the run's folder: the run has ended, and nothing of it lives."""
LEASE_SECONDS, RENEW_SHARE = 45.0, 2 / 3
OLD_MIRROR_SECONDS = 60.0
"""So old is the second copy, which is there should the first one be damaged."""
POLL_SECONDS = 0.5
PLAN_ID = re.compile(r"[0-9a-f]{1,64}")
MOST_PLAN_BYTES = 16 << 20
"""As of every plan file."""


class InPlace(ThisMachine):
    """store: the folder of the place that holds `runs/`."""

    def __init__(self, store: Path, *, lease_seconds: float | None = None) -> None:
        super().__init__(store)
        self._lease_seconds = lease_seconds or float(os.environ.get(LEASE_VARIABLE) or LEASE_SECONDS)
        self._number, self._renewed = 0, 0.0
        self._read: tuple[int, ...] = ()
        """What tells the control.json that was read last from others."""
        self._heeded: Wish | None = None
        self._kept_old = 0.0
        self._ledger_file: tuple[int, int] | None = None
        """What tells the ledger that this supervisor writes from another file of its name."""

    def enter(self, run_id: str) -> bool:
        """Take the run's lease, and the newest ledger that this node's disk and the run's folder hold.

        Raises SpecError for a run that has ended and of which no ledger is left: nothing of it lives.
        """
        with contextlib.suppress(OSError):  # a node's disk may have been emptied
            _local_ledger().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._beat()
        self._take_lease(run_id)
        self._read, self._heeded, self._kept_old = (), None, time.monotonic()
        try:
            restored = self._restore(run_id)
        except OSError as error:
            raise StateError(f"the ledger of {run_id} can't be brought here: {error.strerror}") from error
        self._ledger_file = _identity(_local_ledger())
        return restored

    def check(self, run_id: str) -> None:
        """Whether the lease is still ours, and the ledger that is written the one that others will read."""
        if (self._folder(run_id) / LEASES / str(self._number + 1)).exists():
            raise LockLostError(f"another supervisor has taken {run_id} over")
        if _identity(_local_ledger()) != self._ledger_file:
            raise LockLostError(f"the ledger of {run_id} was removed from this node's disk")
        if (silent := time.monotonic() - self._renewed) > RENEW_SHARE * self._lease_seconds:
            raise LockLostError(f"the lease of {run_id} could not be renewed for {silent:.0f} s")

    def wished(self, run_id: str) -> Wish | None:
        """The wish in control.json, if that has changed."""
        file = self._folder(run_id) / CONTROL
        try:
            found = file.stat()
        except OSError:
            return None
        now = (found.st_mtime_ns, found.st_size, found.st_ino)
        if now == self._read:
            return None
        self._read = now
        try:
            return read_wish(read_limited(file, MOST_WISH_BYTES))
        except OSError as error:
            raise ClusterctlError(f"control.json can't be read: {error.strerror}; it is ignored") from error

    def bring_plan(self, ledger: Ledger, run_id: str, plan_id: str) -> None:
        """The file that came before the wish."""
        from clusterctl.specfile.plan_file import parse_plan

        if not PLAN_ID.fullmatch(plan_id):
            raise ClusterctlError(f"control.json names no plan: {plan_id[:80]}; it is ignored")
        file = self._folder(run_id) / plan_name(plan_id)
        try:
            content = read_limited(file, MOST_PLAN_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ClusterctlError(f"the plan {plan_id} that is wished can't be read: {error}") from error
        plan = parse_plan(content, name=file.name)
        if plan.id != plan_id:
            raise ClusterctlError(f"{file.name} holds the plan {plan.id}; it is ignored")
        ledger.keep_plan(plan)

    def heeded(self, wish: Wish) -> None:
        """It is acknowledged once the mirror shows what it did."""
        self._heeded = wish

    def keep(self, run_id: str) -> None:
        """Renew the lease, write the mirror, acknowledge the last wish: in this order."""
        folder = self._folder(run_id)
        self._beat()
        try:
            os.utime(folder / LEASE)  # also on a disk that is full
        except FileNotFoundError:
            self._write_lease(run_id)
        self._renewed = time.monotonic()
        if time.monotonic() - self._kept_old >= OLD_MIRROR_SECONDS:
            self._kept_old = time.monotonic()
            if (folder / MIRROR).exists():
                link_over(folder / MIRROR, folder / OLD_MIRROR)
        replace_synced(folder / MIRROR, _mirror_of(_local_ledger()))
        if (wish := self._heeded) is not None:
            row = {"seq": wish.seq, "identity": wish.identity}
            replace_whole(folder / ACKNOWLEDGED, json_text(row).encode("ascii"))
            self._heeded = None

    def leave(self, run_id: str) -> None:
        """The last mirror; the next supervisor need not wait."""
        self.keep(run_id)
        self._write_lease(run_id, released=True)

    def _folder(self, run_id: str) -> Path:
        return self.store / "runs" / run_id

    def _beat(self) -> None:
        """For the wrapper, which kills a supervisor that hangs."""
        with contextlib.suppress(OSError):
            (_local_ledger().parent / BEAT).touch()

    def _take_lease(self, run_id: str) -> None:
        folder = self._folder(run_id) / LEASES
        try:
            folder.mkdir(parents=True, exist_ok=True)
            last = max((int(file.name) for file in folder.iterdir() if file.name.isdigit()), default=0)
        except OSError as error:
            raise StateError(f"the lease of {run_id} can't be read: {error.strerror}") from error
        if last and not self._is_over(run_id, last):
            raise LockHeldError(f"{run_id} is watched by another supervisor", hint="it is ended by `clusterctl down`")
        try:
            disk = this_disk()
            with (folder / str(last + 1)).open("x") as mine:
                mine.write(disk)
        except FileExistsError:
            raise LockHeldError(f"{run_id} was taken over by another supervisor a moment ago") from None
        except OSError as error:
            raise StateError(f"the lease of {run_id} can't be taken: {error.strerror}") from error
        self._number, self._renewed = last + 1, time.monotonic()
        with contextlib.suppress(OSError):
            self._write_lease(run_id)
            for number in range(last - 9, last):  # a few are kept, for people
                (folder / str(number)).unlink(missing_ok=True)

    def _is_over(self, run_id: str, last: int) -> bool:
        """Whether the lease of this number may be followed by the next one; waits for as long as that takes to know."""
        lease, owner = self._folder(run_id) / LEASE, self._folder(run_id) / LEASES / str(last)

        def seen() -> tuple[bytes, int]:
            with contextlib.suppress(OSError):
                return read_limited(lease, 4096), lease.stat().st_mtime_ns
            return b"", 0

        before = seen()
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, RecursionError):
            row = json.loads(before[0])
            if row.get("number") == last and row.get("released"):
                return True
        with contextlib.suppress(OSError):
            if read_limited(owner, 4096).decode("utf-8", "replace") == this_disk():
                return True  # the caller holds the lock that lies there
        deadline = time.monotonic() + self._lease_seconds
        while time.monotonic() < deadline:
            if seen() != before:
                return False
            self._beat()
            time.sleep(POLL_SECONDS)
        return True

    def _write_lease(self, run_id: str, *, released: bool = False) -> None:
        row = {"number": self._number, "disk": this_disk(), "released": released}
        replace_whole(self._folder(run_id) / LEASE, json_text(row).encode())

    def _restore(self, run_id: str) -> bool:
        """Of this node's ledger, the mirror and the mirror before it the one that was written last and can be read.

        Whether this node's ledger was replaced.
        """
        local, folder = _local_ledger(), self._folder(run_id)
        lives: list[tuple[str, str, int, Path]] = []
        for rank, file in enumerate((folder / OLD_MIRROR, folder / MIRROR, local)):
            if file.exists():
                with contextlib.suppress(StateError):
                    lives.append((*_life_of(file), rank, file))  # an earlier run of this id began before
        if not lives and (folder / ENDED).exists():
            raise SpecError(f"{run_id} has ended, and no ledger of it is left here")
        if not lives:
            raise StateError(
                f"neither {folder / MIRROR} nor this node holds the ledger of {run_id}",
                hint=f"`clusterctl up {run_id}`, where it was started, brings what is known there",
            )
        newest = max(lives)[-1]
        if newest == local:
            return False
        for part in (f"{local.name}-wal", f"{local.name}-shm"):
            (local.parent / part).unlink(missing_ok=True)
        replace_synced(local, newest.read_bytes())
        return True


def plan_name(plan_id: str) -> str:
    """Of the file in the run's folder that brings another plan."""
    return f"plan-{plan_id}.json"


@functools.cache
def home_here(store: Path) -> ThisMachine:
    """The home of this process's supervisors: this machine, or the place of the run whose supervisor we are."""
    return InPlace(store) if os.environ.get(IN_PLACE) else ThisMachine(store)


def this_disk() -> str:
    """What tells the folder of this node's ledger and locks from others, also of this node: a job may have its own.

    Raises OSError.
    """
    file = _local_ledger().parent / DISK
    with contextlib.suppress(FileExistsError), file.open("x") as mine:
        mine.write(f"{os.uname().nodename} {uuid.uuid4()}")
    return read_limited(file, 4096).decode("utf-8", "replace")


def _identity(file: Path) -> tuple[int, int] | None:
    with contextlib.suppress(OSError):
        found = file.stat()
        return found.st_dev, found.st_ino
    return None


def _local_ledger() -> Path:
    return Path(ledger_url())


def _mirror_of(file: Path) -> bytes:
    from clusterctl.ledger.mirror import mirror_of

    return mirror_of(file)


def _life_of(file: Path) -> tuple[str, str]:
    from clusterctl.ledger.mirror import life_of

    return life_of(file)
