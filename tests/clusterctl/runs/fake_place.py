"""The target `fake` under the harness: its own record of machines and instances is read and changed here, by no code of
the product."""

from __future__ import annotations

import fcntl
import itertools
import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from run_faults import NOTHING, Fault, LedgerLocked, LedgerRestored, Stopped, killable, of_role
from run_names import RUN_NAME, SUPERVISOR
from run_samples import Interval

Row = dict[str, Any]

FOLDER, SUFFIX, SETTINGS = "fake", ".place", "settings.json"
INSTANCE_TYPE = "here"
NEVER = 1e12
BEHAVIOURS: Sequence[Mapping[str, Any]] = (
    {"machine_seconds": 6.0},
    {"start_seconds": 4.0},
    {"lag_seconds": 1.5},
    {"no_capacity": [INSTANCE_TYPE]},
    {"end_seconds": 5.0},
    *(
        {"errors": [{"on": call, "error": error, "times": times, "after": after}]}
        for call in ("observe", "launch", "apply", "stop", "fetch")
        for error, times, after in (("credentials have expired", 5, False), ("timed out", 1, True))
    ),
)
"""Late nodes, late starts, a listing that lags, no capacity, slow ends, expired credentials, time-outs after the act."""


def records(store: Path) -> Iterator[tuple[str, Row]]:
    """(run, what the place holds of it)."""
    for file in sorted((store / FOLDER).glob(f"*{SUFFIX}")):
        yield file.name.removesuffix(SUFFIX), json.loads(file.read_text("utf-8"))


@contextmanager
def changed(store: Path, run: str) -> Iterator[Row]:
    """The record of a run, to be changed under the place's own lock."""
    file = store / FOLDER / f"{run}{SUFFIX}"
    with (store / FOLDER / f"{run}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        row = json.loads(file.read_text("utf-8"))
        yield row
        part = file.with_suffix(".part")
        part.write_text(json.dumps(row), encoding="utf-8")
        part.replace(file)


@dataclass
class PlaceBehaves:
    """The place behaves otherwise for a while."""

    settings: Mapping[str, Any]
    spoils: frozenset[str] = NOTHING
    root: Callable[[Path], Path] = lambda store: store

    def inject(self, store: Path) -> bool:
        """Sets it."""
        self._file = self.root(store) / FOLDER / SETTINGS
        self._file.parent.mkdir(exist_ok=True)
        part = self._file.with_name("settings.by-harness")
        part.write_text(json.dumps(self.settings), encoding="utf-8")
        part.replace(self._file)
        return True

    def undo(self) -> None:
        """As at first."""
        self._file.unlink(missing_ok=True)


class FakePlace:
    """A simulated place with three nodes."""

    name = "fake"
    usd_per_node_hour = Decimal("0.08")
    victims = (SUPERVISOR, "node", "trainer", "sandbox")
    spec = f"""
name: {RUN_NAME}
objective: time
stages:
  - kind: rlcef
    model: clusterctl/quickstart
    steps: 12
    prompts_per_step: 3
    samples_per_prompt: 2
    sandbox: {{cpus: 1, memory_gib: 0.25, seconds: {{mean: 0.1, p95: 0.3}}, time_limit_seconds: 2}}
fleet: {{targets: [fake], machines: [{{target: fake, name: {INSTANCE_TYPE}, nodes: 3, vcpus: 2, memory_gib: 8, usd_per_hour: 0.08}}]}}
"""

    def root(self, store: Path) -> Path:
        """Supervisors are here."""
        return store

    def strike(self, store: Path, victim: str, chance: random.Random) -> None:
        """kill -9 of a supervisor; a node is lost, with what runs in the place; an instance fails."""
        if victim == SUPERVISOR:
            for process in of_role(self.root(store), SUPERVISOR):
                killable(process.address, signal.SIGKILL)
            return
        for run, _ in records(self.root(store)):
            with changed(self.root(store), run) as row:
                now = time.time()
                kind = "machines" if victim == "node" else "instances"
                live = [
                    t for t in row[kind].values() if not _ended(t, now) and (kind == "machines" or t["name"] == victim)
                ]
                for thing in (
                    [chance.choice(live), *(row["instances"].values() if victim == "node" else ())] if live else ()
                ):
                    if not _ended(thing, now):
                        thing["ends_at"], thing["cause"] = now, "node lost" if victim == "node" else "failed"

    def fault(self, store: Path, ledger: Path, chance: random.Random) -> Fault:
        """The place behaves otherwise, or what is here does."""
        kind = chance.choice(("place", "place", "place", "stopped", "locked", "restored"))
        if kind == "stopped":
            return Stopped(SUPERVISOR)
        if kind == "locked":
            return LedgerLocked(ledger)
        return LedgerRestored(ledger) if kind == "restored" else PlaceBehaves(chance.choice(BEHAVIOURS), root=self.root)

    def lived(self, store: Path) -> Mapping[str, Sequence[Interval]]:
        """Each node from its allocation, half-way to its being ready, to its release."""
        found: dict[str, Sequence[Interval]] = {}
        for _, row in records(self.root(store)):
            for identity, machine in row["machines"].items():
                begin = machine["asked_at"] + (machine["ready_at"] - machine["asked_at"]) / 2
                end = machine["ends_at"] or time.time()
                found[identity] = [(begin, end)] if end > begin else []
        return found

    def left(self, store: Path) -> list[str]:
        """Nodes and instances that are still there."""
        return [
            f"{kind} {identity}"
            for _, row in records(self.root(store))
            for kind in ("machines", "instances")
            for identity, thing in row[kind].items()
            if not _ended(thing, time.time())
        ]

    def wrong(self, store: Path) -> list[str]:
        """Two of what there must be one of, at one time."""
        found = []
        for run, row in records(self.root(store)):
            for kind in ("machines", "instances"):
                things = sorted(row[kind].values(), key=lambda t: (t["name"], t["index"], t["asked_at"]))
                for first, second in itertools.pairwise(things):
                    same = (first["name"], first["index"]) == (second["name"], second["index"])
                    if same and (first["ends_at"] or NEVER) > second["asked_at"]:
                        found.append(f"{run}: two {kind} {first['name']} {first['index']} at once")
        return found


@dataclass
class OutOfReach:
    """A laptop without a network."""

    spoils: frozenset[str] = NOTHING

    def inject(self, store: Path) -> bool:
        """Cuts it."""
        self._store = store
        _write_settings(store, home=str(store / "place"), unreachable="the network is cut")
        return True

    def undo(self) -> None:
        """It is back."""
        _write_settings(self._store, home=str(self._store / "place"))


@dataclass
class FileSpoiled:
    """A file by which supervisor and laptops hear of each other is garbage, or half of what it was."""

    name: str
    spoils: frozenset[str] = NOTHING

    def inject(self, store: Path) -> bool:
        """Spoils that of each run."""
        found = list((store / "place" / "runs").glob("*"))
        for folder in found:
            file = folder / self.name
            content = file.read_bytes() if file.exists() else b"garbage"
            part = folder / "spoiled.by-harness"
            part.write_bytes(content[: len(content) // 2])
            part.replace(file)
        return bool(found)

    def undo(self) -> None:
        """Its writer writes it anew."""


class FarPlace(FakePlace):
    """The simulated place in another folder, where its supervisors live; this store is a laptop's."""

    name = "far"
    victims = (SUPERVISOR, "script", "disk", "node", "trainer", "sandbox")

    def root(self, store: Path) -> Path:
        """The other folder."""
        if not (store / FOLDER / SETTINGS).exists():
            _write_settings(store, home=str(store / "place"))
        (store / "place" / FOLDER).mkdir(parents=True, exist_ok=True)
        return store / "place"

    def strike(self, store: Path, victim: str, chance: random.Random) -> None:
        """Also the script that starts supervisors again, and the disk of the node on which they run."""
        if victim in {"script", "disk"}:
            subprocess.run(["pkill", "-KILL", "-f", f"^bash {store}/place/runs/"], check=False)
        if victim == "disk":
            super().strike(store, SUPERVISOR, chance)
            shutil.rmtree(store / "place" / "node", ignore_errors=True)
        if victim not in {"script", "disk"}:
            super().strike(store, victim, chance)

    def fault(self, store: Path, ledger: Path, chance: random.Random) -> Fault:
        """Also what is between laptop and place."""
        kind = chance.choice(("place", "place", "reach", "control.json", "ledger.db", "acknowledged", "lease"))
        if kind == "place":
            return super().fault(store, ledger, chance)
        return OutOfReach() if kind == "reach" else FileSpoiled(kind)


def _write_settings(store: Path, **settings: str) -> None:
    file = store / FOLDER / SETTINGS
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name("settings.by-laptop")
    part.write_text(json.dumps(settings), encoding="utf-8")
    part.replace(file)


def _ended(thing: Row, now: float) -> bool:
    return thing["ends_at"] is not None and bool(thing["ends_at"] <= now)
