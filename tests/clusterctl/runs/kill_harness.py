"""Kills what a run consists of at random moments, goes on with ordinary commands, and checks what must always hold.

It knows a target only as a `Place`: what may be killed there, and what is left.  The rest is the command line and the
ledger, so another target is put under it by writing its `Place`.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Protocol
from unittest.mock import patch

from clusterctl.ledger import open_ledger
from clusterctl.ledger.ledger import Ledger
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.runs.run import NODE
from clusterctl.targets.processes import ROLE_TAG, tagged
from clusterctl.telemetry import MARKS_VARIABLE, report_cost

CLI = "cli"
COMMANDS = {
    "status": ("status",),
    "up": ("up", "killed.yaml", "--yes", "--detach"),
    "down": ("down", "killed"),
    "cost": ("cost", "killed"),
}
HALF_A_DOLLAR = Decimal("0.5")
TOO_LATE_SECONDS = 10.0
"""What is reported so shortly before a run's end may be missed: nobody reads it any more."""
DIES_EARLY = 0.3
"""Share of the kills that hit the next command itself, in the middle of what it does."""


class Place(Protocol):
    """A target under the harness."""

    spec: str
    """A run of about ten seconds, named `killed`."""
    usd_per_hour: Decimal
    victims: Sequence[str]
    """Roles that may be killed; the command line is one more."""
    alone: Sequence[str]
    """Roles of which there must never be two."""

    def live(self, store: Path) -> Mapping[str, Sequence[str]]:
        """Address of everything that is live, by role."""

    def kill(self, address: str) -> None:
        """Ends one without a warning; gone is success."""


class ThisMachine:
    """The target `local`: processes, found by their tags."""

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
    usd_per_hour = Decimal("0.08")
    victims = ("supervisor", "trainer", "sandbox", "telemetry")
    alone = ("trainer", "sandbox", "telemetry")

    def live(self, store: Path) -> Mapping[str, Sequence[str]]:
        """Session leaders of the store."""
        found: dict[str, list[str]] = {}
        for process in tagged(store):
            if process.leads:
                found.setdefault(process.tags.get(ROLE_TAG, ""), []).append(str(process.pid))
        return found

    def kill(self, address: str) -> None:
        """kill -9."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(address), signal.SIGKILL)


@dataclass
class Tally:
    """What went wrong, by invariant; all empty when the machinery holds."""

    kills: int = 0
    doubles: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong_bills: list[str] = field(default_factory=list)
    bad_exits: list[str] = field(default_factory=list)

    def wrong(self) -> list[str]:
        """Everything, in one list."""
        return [*self.orphans, *self.doubles, *self.lost, *self.wrong_bills, *self.bad_exits]


class Bench:
    """One store, one command line, one place."""

    def __init__(self, place: Place, store: Path, *, seed: int = 0, ledger: str | None = None) -> None:
        """ledger: its URL; None = the store's own."""
        self.place, self.store, self.chance = place, store, random.Random(seed)
        self.ledger = ledger or str(store / "ledger.db")
        self.command, self.tally = Path(sys.executable).parent / "clusterctl", Tally()
        self.environment = os.environ | {
            "CLUSTERCTL_HOME": str(store),
            "CLUSTERCTL_LEDGER": self.ledger,
            "NO_COLOR": "1",
        }
        store.mkdir(parents=True, exist_ok=True)
        (store / "killed.yaml").write_text(place.spec, encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in the background."""
        return subprocess.Popen(
            [str(self.command), *arguments],
            env=self.environment,
            cwd=self.store,
            text=True,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, name: str) -> None:
        """A command to its end.  2: a kill so early that the run isn't known yet; 5: the run has finished meanwhile."""
        command = self.start(*COMMANDS[name])
        _, said = command.communicate(timeout=180)
        finished = command.returncode == 5 and "has finished" in said
        if command.returncode not in (0, 2) and not finished:
            self.tally.bad_exits.append(f"{name}: {command.returncode}: {said.strip()[-300:]}")

    def one_round(self, kills: int) -> None:
        """`up`, some kills with ordinary commands between them, `down`, and a look at what is left."""
        follower = self.start("up", "killed.yaml", "--yes")
        for _ in range(kills):
            time.sleep(self.chance.uniform(0.0, 1.2))
            self._watch_doubles()
            self._report()
            self._kill_one(follower)
            self.tally.kills += 1
            self.run(self.chance.choice(list(COMMANDS)))
            self._watch_doubles()
        self.run("down")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(follower.pid, signal.SIGKILL)
        follower.communicate()
        self._check()

    def _report(self) -> None:
        """A cost, as a process of each run reports it."""
        for folder in self.store.glob("runs/*"):
            with patch.dict(os.environ, {MARKS_VARIABLE: str(folder / "marks.jsonl")}):
                report_cost("egress", 1, "GiB", usd=HALF_A_DOLLAR)

    def _kill_one(self, follower: subprocess.Popen[str]) -> None:
        if self.chance.random() < DIES_EARLY:
            command = self.start(*COMMANDS[self.chance.choice(["up", "down", "status"])])
            time.sleep(self.chance.uniform(0.3, 1.5))
            command.kill()
            command.communicate()
            return
        victim = self.chance.choice([CLI, *self.place.victims])
        if victim == CLI:
            follower.kill()
        for address in self.place.live(self.store).get(victim, ()):
            self.place.kill(address)

    def _watch_doubles(self) -> None:
        """Two of a role that both do its work: one that has just been refused the lock lives for a moment."""

        def many() -> set[str]:
            live = self.place.live(self.store)
            return {role for role in self.place.alone if len(live.get(role, ())) > 1}

        if many():
            time.sleep(1.0)
            self.tally.doubles += sorted(many())

    def _check(self) -> None:
        deadline = time.monotonic() + 30.0
        while (left := self.place.live(self.store)) and time.monotonic() < deadline:
            time.sleep(0.1)
        self.tally.orphans += [f"{role} {addresses}" for role, addresses in left.items()]
        with open_ledger(self.ledger) as ledger:
            known = {run.run_id for run in ledger.runs()}
            folders = {folder.name for folder in (self.store / "runs").glob("*")}
            self.tally.orphans += [f"folder {name}" for name in folders - known]
            for run in ledger.runs():
                self._check_run(ledger, run)

    def _check_run(self, ledger: Ledger, run: Run) -> None:
        tally = self.tally
        if run.state in LIVE:
            tally.orphans.append(f"{run.run_id} is {run.state} after down")
        tally.orphans += [f"{r.resource_id} is {r.state}" for r in ledger.live_resources(run.run_id)]
        marks = self.store / "runs" / run.run_id / "marks.jsonl"
        text = marks.read_text("utf-8").splitlines() if marks.exists() else []
        whole = [json.loads(line) for line in text if line.endswith("}") and line.count('"at"') == 1]
        lines, reports = [[line for line in whole if kind in line] for kind in ("step", "cost")]
        marked, recorded = [line["step"] for line in lines], [step.step for step in ledger.steps(run.run_id)]
        if marked != list(range(1, len(marked) + 1)) or recorded != marked:
            tally.lost.append(f"{run.run_id}: marks {marked}, ledger {recorded}")
        bill = ledger.bill(run.run_id)
        seconds = sum((Decimal(str(line.seconds)) for line in bill.lines if line.role == NODE), Decimal(0))
        span = ((run.ended_at or run.created_at) - run.created_at).total_seconds()
        worked = sum(sum(line["phases"].values()) for line in lines)
        reported = sum((line.known_usd for line in bill.lines if line.kind == "egress"), Decimal(0))
        end = (run.ended_at or run.created_at) - timedelta(seconds=TOO_LATE_SECONDS)
        least = sum(datetime.fromisoformat(line["at"]) < end for line in reports)
        if not least <= reported / HALF_A_DOLLAR <= len(reports):
            tally.wrong_bills.append(f"{run.run_id}: {reported} of {least} to {len(reports)} reports")
        exact = abs(bill.known_usd - reported - seconds * self.place.usd_per_hour / 3600) < Decimal("0.00001")
        if not exact or not worked - 1 <= seconds <= span + 2:
            tally.wrong_bills.append(f"{run.run_id}: {bill.known_usd} for {seconds} s; worked {worked} s of {span} s")


def kill_many(place: Place, store: Path, *, kills: int, seed: int, per_round: int = 5) -> Tally:
    """At least `kills` kills, seeded and repeatable in their choices; timing is the machine's."""
    bench = Bench(place, store, seed=seed)
    while bench.tally.kills < kills:
        bench.one_round(per_round)
    return bench.tally
