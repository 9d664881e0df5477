"""Looks at `/proc` all the time: which processes of which run live, and since when.  Reads nothing of ours but the tags in
their environment."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from run_names import HOLDER_PROGRAM, RUN_TAG, STORE_TAG, SUPERVISOR, SUPERVISOR_PROGRAM, instance_of

PROC = Path("/proc")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LOOK_SECONDS = 0.1
GAP_SECONDS = 1.5
"""What was seen at two looks so far apart, and at none between them, counts as live in between: looks are late when the
machine is busy."""
OVERLAP_SECONDS = {SUPERVISOR: 15.0}
"""So long may a second supervisor live until it has found the lock taken and left: an interpreter's start on a very busy
machine."""
DYING_SECONDS = 0.5
"""So long may a killed process take to go while its successor starts."""

Interval = tuple[float, float]
"""Wall clock, seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A live process of a run."""

    pid: int
    started_ticks: int
    parent: int
    session: int
    store: str
    run: str
    role: str
    slot: str
    command: str

    @property
    def address(self) -> str:
        """pid:start time, which no later process can share."""
        return f"{self.pid}:{self.started_ticks}"

    @property
    def holds(self) -> bool:
        """Whether it is the holder of a role."""
        return HOLDER_PROGRAM.search(self.command) is not None


def stat_of(pid: int | str) -> tuple[str, int, int, int]:
    """(state, parent, session, start time in ticks).  Raises OSError where there is none."""
    after = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return after[0], int(after[1]), int(after[3]), int(after[19])


def alive(address: str) -> bool:
    """Whether the very process of this address lives."""
    pid, _, ticks = address.partition(":")
    with contextlib.suppress(OSError, ValueError, IndexError):
        state, _, _, now = stat_of(pid)
        return state not in "ZX" and str(now) == ticks
    return False


def processes(root: Path) -> Iterator[Process]:
    """All live processes of the runs of all stores below a folder; what they have started counts as theirs, tags or
    not."""
    parents: dict[int, tuple[int, int, int]] = {}
    tagged: dict[int, dict[str, str]] = {}
    for pid in [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]:  # noqa: PTH208 - ten times a second
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent, session, ticks = stat_of(pid)
            if state in "ZX":
                continue
            parents[pid] = (parent, session, ticks)
            tags = _tags(pid)
            if Path(tags.get(STORE_TAG, "/")).is_relative_to(root):
                tagged[pid] = tags
    for pid, (parent, session, ticks) in parents.items():
        owner = pid
        while owner not in tagged and owner in parents:
            owner = parents[owner][0]
        if owner in tagged:
            tags = tagged[owner]
            role, slot = instance_of(tags)
            yield Process(
                pid=pid,
                started_ticks=ticks,
                parent=parent,
                session=session,
                store=tags[STORE_TAG],
                run=tags.get(RUN_TAG, ""),
                role=role,
                slot=slot,
                command=_command(pid) if pid in tagged else "",
            )


def _tags(pid: int) -> dict[str, str]:
    content = (PROC / str(pid) / "environ").read_bytes()
    if b"CLUSTERCTL_" not in content:
        return {}
    pairs = (item.decode("utf-8", "replace").partition("=") for item in content.split(b"\0"))
    return {name: value for name, _, value in pairs if name.startswith("CLUSTERCTL_")}


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


def _command_of(address: str) -> str:
    """What the process at an address runs; empty once it has gone."""
    return _command(int(address.partition(":")[0])).strip()


def workers(seen: list[Process]) -> Mapping[tuple[str, str, str, str], list[Process]]:
    """By (store, run, role, slot) the processes that do the role's work: neither its holder, nor what they start."""
    holders = {process.pid for process in seen if process.holds}
    found: dict[tuple[str, str, str, str], list[Process]] = defaultdict(list)
    for process in seen:
        at_top = process.pid == process.session or process.parent in holders
        supervises = process.role != SUPERVISOR or SUPERVISOR_PROGRAM.search(process.command) is not None
        if at_top and supervises and process.command and not process.holds:
            found[process.store, process.run, process.role, process.slot].append(process)
    return found


@dataclass
class History:
    """What was seen of one run."""

    jobs: list[Interval] = field(default_factory=list)
    """When any process of a role but the supervisor lived."""
    all: list[Interval] = field(default_factory=list)
    """When any process lived."""
    addresses: set[str] = field(default_factory=set)
    """Every process that was ever seen."""
    last: tuple[str, ...] = ()
    """What lived when it was last seen."""


class Sampler:
    """Looks at all stores below a folder until it is left."""

    def __init__(self, root: Path) -> None:
        self.root, self.doubles = root, dict[str, list[str]]()
        """doubles: by store, what of which there must be one was there twice."""
        self._histories: dict[tuple[str, str], History] = defaultdict(History)
        self._together: dict[tuple[str, str], float] = {}
        self._told: set[tuple[str, str]] = set()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def history(self, store: Path, run: str) -> History:
        """What was seen of a run so far."""
        with self._lock:
            seen = self._histories[str(store), run]
            return History(jobs=list(seen.jobs), all=list(seen.all), addresses=set(seen.addresses), last=seen.last)

    def take_doubles(self, store: Path) -> list[str]:
        """What was there twice in a store, and has not been asked for yet."""
        with self._lock:
            return self.doubles.pop(str(store), [])

    def left(self, store: Path) -> list[str]:
        """What still lives of what was ever seen of a store."""
        now = list(processes(store))
        known = {process.address: f"{process.role or 'process'} {process.address}" for process in now}
        with self._lock:
            before = {a for (home, _), seen in self._histories.items() if home == str(store) for a in seen.addresses}
        orphans = [address for address in before - set(known) if alive(address)]
        return sorted({*known.values(), *(f"process {address} {_command_of(address)}" for address in orphans)})

    def _look_on(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """One look."""
        now, seen = time.time(), list(processes(self.root))
        with self._lock:
            for process in seen:
                history = self._histories[process.store, process.run]
                if not history.all or history.all[-1][1] != now:
                    history.last = ()
                history.last += (f"{process.role} {process.address}",)
                history.addresses.add(process.address)
                _extend(history.all, now)
                if process.role != SUPERVISOR:
                    _extend(history.jobs, now)
            self._find_doubles(seen, now)

    def _find_doubles(self, seen: list[Process], now: float) -> None:
        """Two that do the work of one (run, slot), at looks so far apart that the first is not just dying."""
        together = {}
        for (store, run, role, slot), found in workers(seen).items():
            for first, second in itertools.pairwise(found):
                pair = (first.address, second.address)
                if pair in self._told or not all(map(alive, pair)):
                    continue
                since = together[pair] = self._together.get(pair, now)
                if now - since >= OVERLAP_SECONDS.get(role, DYING_SECONDS):
                    self._told |= {pair}
                    self.doubles.setdefault(store, []).append(f"{run}: two of {slot} together: {' and '.join(pair)}")
        self._together = together


def _extend(intervals: list[Interval], now: float) -> None:
    if intervals and now - intervals[-1][1] <= GAP_SECONDS:
        intervals[-1] = (intervals[-1][0], now)
    else:
        intervals.append((now, now))
