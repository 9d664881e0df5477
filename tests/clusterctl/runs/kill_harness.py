"""Kills and disturbs at random what a run consists of, goes on with ordinary commands, and lets the checker look.

It knows a target only as a `Place`: what may be killed and go wrong there, and what lives there.  The rest is the command
line, so another target is put under it by writing its `Place`.  Several stores run side by side: most of the time is
waiting.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from run_checker import Expected, check, machine_usd, read_tables, reported_usd
from run_faults import Damaged, Fault, LedgerLocked, LedgerRestored, Stopped, killable, of_role
from run_names import DOWN, RUN_NAME, SUPERVISOR, UP, UP_AGAIN, bad_end, folders, reports
from run_samples import Interval, Sampler, processes

CLI = "cli"
COMMANDS = {
    "status": ("status",),
    "up": (*UP, "--detach"),
    "up again": UP_AGAIN,
    "down": DOWN,
    "cost": ("cost", RUN_NAME),
    "events": ("events", RUN_NAME),
}
REPORTED_USD = Decimal("0.5")
DIES_EARLY = 0.25
"""Share of the kills that hit the next command itself, in the middle of what it does."""
FAULT_SHARE = 0.25
"""Share of the rounds' events that are no kill."""
COMMAND_SECONDS = 120.0
LEAVES_SECONDS = 30.0
"""After `down` the last process has gone."""
SPOILED_CODES = (0, 1, 2, 3, 5, 6)
"""Exit codes of a command that says what is wrong, where something was damaged: any but a bug's."""


class Place(Protocol):
    """A target under the harness."""

    name: str
    usd_per_node_hour: Decimal
    victims: Sequence[str]
    """What may be killed; the command line is one more."""
    spec: str
    """A run of 12 steps, named as in `RUN_NAME`, of about a second a step at most."""

    def root(self, store: Path) -> Path:
        """The store of the supervisors: the same, or that of a place far away, which is made ready for it."""

    def strike(self, store: Path, victim: str, chance: random.Random) -> None:
        """Ends one victim without a warning; gone is success."""

    def fault(self, store: Path, ledger: Path, chance: random.Random) -> Fault:
        """Something that goes wrong there, by chance."""

    def lived(self, store: Path) -> Mapping[str, Sequence[Interval]]:
        """Machine → when it was there, where the place keeps a record of that."""

    def left(self, store: Path) -> list[str]:
        """What still lives there, other than processes here."""

    def wrong(self, store: Path) -> list[str]:
        """What must not have happened, as the place itself tells it."""


class ThisMachine:
    """The target `local`: processes, found by their tags."""

    name = "local"
    usd_per_node_hour = Decimal("0.08")
    victims = (SUPERVISOR, "trainer", "sandbox", "telemetry")

    spec = """
name: killed
stages:
  - kind: rlcef
    model: clusterctl/quickstart
    steps: 12
    prompts_per_step: 2
    samples_per_prompt: 2
    sandbox: {cpus: 1, memory_gib: 0.25, seconds: {mean: 0.1, p95: 0.3}, time_limit_seconds: 2}
fleet: {targets: [local], machines: [{target: local, name: here, vcpus: 2, memory_gib: 8, usd_per_hour: 0.08}]}
"""

    def root(self, store: Path) -> Path:
        """Supervisors are here."""
        return store

    def strike(self, store: Path, victim: str, chance: random.Random) -> None:
        """kill -9: its holder, what the holder has started, or both."""
        found = of_role(store, victim, holder=chance.choice((None, True, False))) or of_role(store, victim)
        for process in found:
            killable(process.address, signal.SIGKILL)

    def fault(self, store: Path, ledger: Path, chance: random.Random) -> Fault:
        """A process that hangs, a ledger that is locked or goes back to a copy, a file that is damaged."""
        kind = chance.choice(("stopped", "stopped", "locked", "restored", "damaged"))
        if kind == "locked":
            return LedgerLocked(ledger)
        if kind == "restored":
            return LedgerRestored(ledger)
        if kind == "damaged":
            return Damaged(chance.choice(("truncated", "garbage", "removed", "not ASCII")), chance=chance)
        return Stopped(chance.choice(self.victims), chance.choice((None, True, False)))

    def lived(self, store: Path) -> Mapping[str, Sequence[Interval]]:
        """What lives here are processes."""
        return {}

    def left(self, store: Path) -> list[str]:
        """The sampler sees all of it."""
        return []

    def wrong(self, store: Path) -> list[str]:
        """The sampler sees all of it."""
        return []


@dataclass
class Tally:
    """What was done, and what went wrong: nothing, when the machinery holds."""

    kills: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Counts another one in."""
        self.kills += other.kills
        self.wrong += other.wrong
        for name, times in other.faults.items():
            self.faults[name] = self.faults.get(name, 0) + times


class Bench:
    """One store, one command line, one place."""

    command_seconds, leaves_seconds = COMMAND_SECONDS, LEAVES_SECONDS

    def __init__(
        self, place: Place, store: Path, sampler: Sampler, *, seed: int = 0, ledger: str = "", steps: int = 12
    ):
        """ledger: its path or URL; empty = the store's own."""
        self.place, self.store, self.sampler, self.chance = place, store, sampler, random.Random(seed)
        self.ledger = ledger or str(store / "ledger.db")
        self.command, self.tally = Path(sys.executable).parent / "clusterctl", Tally()
        self.spoiled: dict[str, set[str]] = {"run": set(), "reports": set(), "bill": set()}
        """Runs to which something was done by which this may be lost."""
        self.restored = False
        """Whether the ledger was put back from a copy."""
        self.environment = os.environ | {
            "CLUSTERCTL_HOME": str(store),
            "CLUSTERCTL_LEDGER": self.ledger,
            "NO_COLOR": "1",
        }
        store.mkdir(parents=True, exist_ok=True)
        self.root = place.root(store)
        (store / f"{RUN_NAME}.yaml").write_text(place.spec.replace("steps: 12", f"steps: {steps}"), encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in the background."""
        return subprocess.Popen(
            [str(self.command), *arguments],
            env=self.environment,
            cwd=self.store,
            text=True,
            errors="replace",
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def say(self, *arguments: str, allowed: Sequence[int] = (0,)) -> tuple[int, str, str]:
        """A command to its end: exit code, stdout, stderr.  What is wrong with its end goes into the tally."""
        command, began = self.start(*arguments), time.monotonic()
        try:
            out, err = command.communicate(timeout=self.command_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(command.pid, signal.SIGKILL)
            out, err = command.communicate()
            self.tally.wrong.append(f"{' '.join(arguments)}: hangs for {time.monotonic() - began:.0f} s: {err[-200:]}")
            return -signal.SIGKILL, out, err
        wrong = bad_end(command.returncode, err, allowed=allowed)
        if wrong:
            self.tally.wrong.append(f"{' '.join(arguments)}: {wrong}")
        return command.returncode, out, err

    def run(self, name: str, *, disturbed: bool = False) -> None:
        """An ordinary command.  2: a kill so early that the run isn't known yet; 5: the run has finished meanwhile."""
        had_ended = self._has_ended()
        wrong = len(self.tally.wrong)
        code, _, _ = self.say(*COMMANDS[name], allowed=SPOILED_CODES if disturbed or self.spoiled["run"] else (0, 2))
        if code == 5 and (had_ended or self._has_ended()):
            del self.tally.wrong[wrong:]

    def _has_ended(self) -> bool:
        return any(row["state"] in ("finished", "failed") for row in self.runs())

    def runs(self) -> Sequence[Mapping[str, object]]:
        """Rows of the ledger's runs; empty where it can't be read."""
        with contextlib.suppress(Exception):  # there is none yet, or it is damaged on purpose
            return read_tables(self.ledger).runs
        return ()

    def _known(self) -> set[str]:
        return {str(row["run_id"]) for row in self.runs()}

    def _ends(self) -> dict[str, object]:
        return {str(row["run_id"]): row["ended_at"] for row in self.runs()}

    def steps(self) -> int:
        """How many steps are recorded."""
        with contextlib.suppress(Exception):
            return len(read_tables(self.ledger).steps)
        return 0

    def until(self, condition: Callable[[], object], seconds: float = 60.0, *, pause_seconds: float = 0.1) -> bool:
        """Whether it comes true in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(pause_seconds)
        return True

    def one_round(self, events: int, *, fault_share: float = FAULT_SHARE) -> None:
        """`up`, some kills and faults with ordinary commands between them, `down`, and a look at what is left."""
        states = {row["state"] for row in self.runs()}
        again = ("--again",) if "finished" in states or self.chance.random() < 0.3 else ()
        follower = self.start(*UP, *again)
        for number in range(events):
            self.pause(number / events)
            self.report_cost()
            if self.chance.random() < fault_share:
                self.disturb()
            else:
                for _ in range(self.at_once()):
                    self.kill_one(follower)
                    self.tally.kills += 1
                self.run(self.chance.choice(list(COMMANDS)))
        self.run("down")
        self._sweep_unknown()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(follower.pid, signal.SIGKILL)
        _, said = follower.communicate()
        if wrong := bad_end(0, said, allowed=(0,)):
            self.tally.wrong.append(f"up, followed: {wrong}")
        self.check()

    def at_once(self) -> int:
        """How many kills come before the next command."""
        return 1

    def pause(self, share: float) -> None:
        """Before the next of a round's events.  share: of them that is over."""
        time.sleep(self.chance.uniform(0.0, 1.2))

    def disturb(self) -> None:
        """A fault, a command while it lasts, and its end."""
        fault = self.place.fault(self.store, Path(self.ledger), self.chance)
        name = type(fault).__name__
        if isinstance(fault, LedgerRestored) and not self._newest_has_steps():  # the copy would not know the run
            return
        if not self.inject(fault):
            return
        self.tally.faults[name] = self.tally.faults.get(name, 0) + 1
        time.sleep(self.chance.uniform(0.3, 2.0))
        self.run(self.chance.choice(("status", "up", "cost")), disturbed=True)
        before = self._ends()
        fault.undo()
        if isinstance(fault, LedgerRestored):
            self.restored = True
            after = self._ends()
            # Of a run that began after the copy was made the bill is lost; a later run of the plan may have its id.
            # So is that of one that had ended then and went on since: the ledger knows its first end alone.
            self.spoiled["bill"] |= before.keys() - after.keys()
            self.spoiled["bill"] |= {run for run, end in after.items() if end and before.get(run) != end}

    def _sweep_unknown(self) -> None:
        """As docs/ledger.md says: a run that began after the copy was made is unknown once the copy is back."""
        known = self._known()
        if self.restored and any(folder.name not in known for folder in folders(self.root)):
            self.say("sweep", "--yes")

    def _newest_has_steps(self) -> bool:
        """Whether the newest folder's run is in the ledger, with a step."""
        with contextlib.suppress(Exception):  # there is no ledger yet
            newest = max(folders(self.root), key=lambda folder: folder.stat().st_ctime).name
            return any(row["run_id"] == newest for row in read_tables(self.ledger).steps)
        return False

    def inject(self, fault: Fault) -> bool:
        """Whether there was something that the fault could happen to; what it may spoil is remembered."""
        for what in fault.spoils:
            self.spoiled[what] |= self._known()
        return fault.inject(self.store)

    def report_cost(self) -> None:
        """A cost, as a process of each run appends it."""
        for folder in folders(self.root):
            with contextlib.suppress(OSError):  # damaged, or there is nothing yet
                append_report(reports(folder), cost="egress", quantity=1, unit="GiB", usd=str(REPORTED_USD))

    def kill_one(self, follower: subprocess.Popen[str]) -> None:
        """One of the run, the command that follows it, or the next command in the middle of what it does."""
        if self.chance.random() < DIES_EARLY:
            command = self.start(*COMMANDS[self.chance.choice(["up", "down", "status"])])
            time.sleep(self.chance.uniform(0.3, 1.5))
            command.kill()
            command.communicate()
            return
        victim = self.chance.choice([CLI, *self.place.victims])
        if victim == CLI:
            follower.kill()
        else:
            self.place.strike(self.store, victim, self.chance)

    def down(self, *, allowed: Sequence[int] = (0,)) -> str:
        """Ends the run, whatever state it is in; what it says."""
        _, out, err = self.say(*DOWN, allowed=allowed)
        return out + err

    def check(self) -> None:
        """What must hold once the run has been ended."""
        self.until(lambda: not self.sampler.left(self.root) and not self.place.left(self.store), self.leaves_seconds)
        expected = Expected(
            usd_per_node_hour=self.place.usd_per_node_hour,
            lost_reports=frozenset(self.spoiled["reports"]),
            lost_bill=frozenset(self.spoiled["bill"]),
            lived=self.place.lived(self.store),
        )
        self.tally.wrong += [f"left: {what}" for what in self.place.left(self.store)] + self.place.wrong(self.store)
        self.tally.wrong += check(self.root, self.ledger, self.sampler, expected)
        self._check_cost()

    def _check_cost(self) -> None:
        """`cost` says what the checker has added up."""
        runs = [str(row["run_id"]) for row in self.runs()]
        if not runs:
            return
        newest = max(self.runs(), key=lambda row: str(row["created_at"]))["run_id"]
        code, out, _ = self.say("cost", str(newest), "--json")
        if code == 0:
            said = Decimal(json.loads(out)["known_usd"])
            ours = machine_usd(self.ledger, str(newest)) + reported_usd(self.ledger, str(newest))
            if abs(said - ours) > Decimal("0.00001"):
                self.tally.wrong.append(f"{newest}: `cost` says {said} dollars, the tables {ours}")


def append_report(file: Path, **said: object) -> None:
    """A line as docs/runs.md describes it; one that another process has torn is ended before it."""
    line = json.dumps({"at": datetime.now(UTC).isoformat(), "role": "trainer", **said}).encode() + b"\n"
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * torn + line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def kill_many(
    places: Sequence[Place],
    root: Path,
    *,
    kills: int,
    seed: int,
    stores: int = 4,
    per_round: int = 5,
    fault_share: float = FAULT_SHARE,
) -> Tally:
    """At least `kills` kills in so many stores side by side, seeded and repeatable in their choices; timing is the
    machine's.  Of two stores of a place one has short runs, which end by themselves, and one long ones."""
    lock, total, done = threading.Lock(), Tally(), [0] * stores
    with Sampler(root) as sampler:

        def work(number: int) -> None:
            place = places[number % len(places)]
            steps = 12 if number // len(places) % 2 == 0 else 60
            bench = Bench(place, root / f"store-{number}", sampler, seed=seed + number, steps=steps)
            while sum(done) < kills:
                before = len(bench.tally.wrong)
                bench.one_round(per_round, fault_share=fault_share)
                done[number] = bench.tally.kills
                label = f"[{place.name}, seed {seed + number}, store-{number}] "
                bench.tally.wrong[before:] = [label + what for what in bench.tally.wrong[before:]]
            with lock:
                total.add(bench.tally)

        with ThreadPoolExecutor(stores) as pool:
            list(pool.map(work, range(stores)))
    return total


def end_everything(store: Path) -> None:
    """kill -9 to whatever a failing test has left."""
    for process in processes(store):
        killable(process.address, signal.SIGCONT)
        killable(process.address, signal.SIGKILL)
