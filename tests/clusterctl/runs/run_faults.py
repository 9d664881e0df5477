"""Faults beside kills: processes that are stopped, files that are damaged, a ledger that is locked, old, damaged or newer.

A fault is injected into one store and undone again; what it may spoil it says itself.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from run_names import RUN_NAME, SUPERVISOR, VERSION_TABLE
from run_samples import Process, alive, processes

GARBAGE = bytes(random.Random(9).randrange(256) for _ in range(4096))
NOTHING: frozenset[str] = frozenset()
NOT_ASCII = "ß→\N{SNOWMAN}\x1b[31m\n".encode() * 40


class Fault(Protocol):
    """Something that goes wrong in a store."""

    spoils: frozenset[str]
    """What may rightly be lost by it: the `run` itself, its `reports`, its `bill`."""

    def inject(self, store: Path) -> bool:
        """False where there is nothing that it could happen to."""

    def undo(self) -> None:
        """As it was, as far as that is possible."""


def killable(address: str, number: signal.Signals) -> None:
    """Sends a signal to the very process of this address; gone is success."""
    if alive(address):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(address.partition(":")[0]), number)


def of_role(store: Path, role: str, *, holder: bool | None = None) -> list[Process]:
    """Processes of a role and what they have started; holder: only its holders, or only the others."""
    found = [process for process in processes(store) if process.role == role]
    return found if holder is None else [p for p in found if p.holds is holder]


@dataclass
class Stopped:
    """SIGSTOP: it hangs, keeps its locks, and answers nobody."""

    role: str
    holder: bool | None = None
    """Only its holder, or only what the holder has started; None = all of them."""
    spoils: frozenset[str] = NOTHING
    _addresses: list[str] = field(default_factory=list)

    def inject(self, store: Path) -> bool:
        """Stops what lives now."""
        self._addresses = [process.address for process in of_role(store, self.role, holder=self.holder)]
        for address in self._addresses:
            killable(address, signal.SIGSTOP)
        return bool(self._addresses)

    def undo(self) -> None:
        """Lets it go on."""
        for address in self._addresses:
            killable(address, signal.SIGCONT)


def _truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _removed(file: Path) -> None:
    shutil.rmtree(file) if file.is_dir() else file.unlink()


def _folder(file: Path) -> None:
    _removed(file)
    (file / "inside").mkdir(parents=True)


def _garbage(file: Path) -> None:
    _removed(file)
    file.write_bytes(GARBAGE)


def _overwritten(file: Path) -> None:
    """In place: whoever has it open reads the garbage."""
    with file.open("r+b") as stream:
        stream.write(GARBAGE)


def _not_ascii(file: Path) -> None:
    _removed(file)
    file.write_bytes(NOT_ASCII)


def _fifo(file: Path) -> None:
    _removed(file)
    os.mkfifo(file)


def _dev_full(file: Path) -> None:
    _removed(file)
    file.symlink_to("/dev/full")


def _immutable(file: Path) -> None:
    if not chattr("+i", file):
        file.chmod(0o000)


def chattr(flag: str, file: Path) -> bool:
    """Whether it worked: it takes root, and a file system that knows the flag."""
    done = subprocess.run(["chattr", flag, str(file)], capture_output=True, check=False)
    return done.returncode == 0


DAMAGES: dict[str, Callable[[Path], None]] = {
    "truncated": _truncated,
    "garbage": _garbage,
    "overwritten": _overwritten,
    "a folder": _folder,
    "removed": _removed,
    "immutable": _immutable,
    "not ASCII": _not_ascii,
    "a FIFO": _fifo,
    "a link to /dev/full": _dev_full,
}


NO_PART_OF_A_RUN = ("telemetry", "fake", f"{RUN_NAME}.yaml", "copy.db")
"""In a store: measurements, the simulated place, and what the harness itself writes."""


def damageable(store: Path) -> list[Path]:
    """Every file of the live run's folder and of the store, by listing; the ledger has faults of its own, and the
    measurements are no part of a run."""
    files = [
        file for file in sorted(store.rglob("*")) if file.is_file() and not file.name.startswith(("ledger.db", "."))
    ]
    return [file for file in files if file.relative_to(store).parts[0] not in NO_PART_OF_A_RUN]


@dataclass
class Damaged:
    """One file of a store is not what it was."""

    how: str
    name: str | None = None
    """Of the file, below the store, with * for what differs between runs; None = one by chance."""
    chance: random.Random = field(default_factory=random.Random)
    spoils: frozenset[str] = frozenset({"run", "reports"})
    file: Path | None = None
    _folder: Path | None = None

    def inject(self, store: Path) -> bool:
        """Keeps a copy of the file and damages it."""
        files = damageable(store) if self.name is None else sorted(store.glob(self.name))
        if not files:
            return False
        self.file = self.chance.choice(files)
        self._copy = self.file.read_bytes() if self.file.is_file() else b""
        with contextlib.suppress(FileNotFoundError):  # it has gone by itself meanwhile
            DAMAGES[self.how](self.file)
        return True

    def undo(self) -> None:
        """The file as it was, where its folder is still there."""
        file = self.file
        if file is None or not file.parent.is_dir():
            return
        if self.how == "immutable":
            chattr("-i", file)
            file.chmod(0o600)
            return
        with contextlib.suppress(FileNotFoundError):
            _removed(file)
        file.write_bytes(self._copy)


@dataclass
class LedgerLocked:
    """Another process writes, and does not finish."""

    ledger: Path
    spoils: frozenset[str] = NOTHING
    _connection: sqlite3.Connection | None = None

    def inject(self, store: Path) -> bool:
        """Begins to write."""
        self._connection = sqlite3.connect(self.ledger, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")
        return True

    def undo(self) -> None:
        """Gives up."""
        if self._connection is not None:
            self._connection.rollback()
            self._connection.close()


@dataclass
class LedgerRestored:
    """`sqlite3 ledger.db ".backup copy.db"` at one moment, and `.restore copy.db` at a later one."""

    ledger: Path
    spoils: frozenset[str] = NOTHING

    @property
    def copy(self) -> Path:
        """Where the copy lies."""
        return self.ledger.with_name("copy.db")

    def inject(self, store: Path) -> bool:
        """Makes the copy."""
        _copy_database(self.ledger, self.copy)
        return True

    def undo(self) -> None:
        """Puts it back."""
        _copy_database(self.copy, self.ledger)


def _copy_database(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source, timeout=30)) as old,
        contextlib.closing(sqlite3.connect(target, timeout=30)) as new,
    ):
        old.backup(new)


@dataclass
class LedgerSpoilt:
    """The ledger can't be read: garbage, removed, or written by a newer version."""

    ledger: Path
    how: str
    spoils: frozenset[str] = frozenset({"run", "reports", "bill"})

    @property
    def copy(self) -> Path:
        """Where the copy lies."""
        return self.ledger.with_name("copy.db")

    def inject(self, store: Path) -> bool:
        """Damages it in place, as a disk would, or changes its version."""
        _copy_database(self.ledger, self.copy)
        if self.how == "newer":
            with contextlib.closing(sqlite3.connect(self.ledger, timeout=30)) as database:
                database.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
                database.commit()
        elif self.how == "garbage":
            with self.ledger.open("r+b") as stream:
                stream.write(GARBAGE * (self.ledger.stat().st_size // len(GARBAGE) + 1))
        else:
            _removed(self.ledger)
        return True

    def undo(self) -> None:
        """Puts the copy back, as docs/ledger.md says."""
        for name in ("-wal", "-shm", ""):
            self.ledger.with_name(self.ledger.name + name).unlink(missing_ok=True)
        shutil.copy(self.copy, self.ledger)


def stops(roles: Sequence[str]) -> list[Stopped]:
    """Every kind of process of a run that can hang: supervisor, and of each role its holder, its work, or both."""
    return [Stopped(SUPERVISOR)] + [Stopped(role, holder) for role in roles for holder in (None, True, False)]


def small_disk(folder: Path, mib: int) -> bool:
    """Mounts a disk of its own there; False where this machine does not let us."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path) -> None:
    """Takes it away, whoever still uses it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Takes the rest of a disk, to the last byte; returns what to delete."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    out.write(b"x" * size)
    return filler
