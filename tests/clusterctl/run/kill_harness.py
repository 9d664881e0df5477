"""Kills processes of real runs at random moments, goes on with ordinary commands, and checks what must always hold.

Knows a target only by its processes' tags and the command line, so that other targets can be put under it.
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
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from clusterctl.ledger import open_ledger
from clusterctl.ledger.rows import LIVE
from clusterctl.run.runs import NODE
from clusterctl.targets.processes import ROLE_TAG, tagged

VICTIMS = ("cli", "supervisor", "trainer", "sandbox")
NEXT_COMMANDS = ("status", "up", "down", "cost")
PRICE = Decimal("0.08")
SPEC = """
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


@dataclass
class Tally:
    """What went wrong, by invariant; all empty when the machinery holds."""

    kills: int = 0
    doubles: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong_bills: list[str] = field(default_factory=list)
    bad_exits: list[str] = field(default_factory=list)


class Bench:
    """One store, one command line."""

    def __init__(self, store: Path, command: Path) -> None:
        self.store, self.command = store, command
        self.environment = os.environ | {"CLUSTERCTL_HOME": str(store), "NO_COLOR": "1"}
        store.mkdir(parents=True, exist_ok=True)
        (store / "killed.yaml").write_text(SPEC, encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command in the background."""
        return subprocess.Popen(
            [str(self.command), *arguments], env=self.environment, cwd=self.store, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [str(self.command), *arguments], env=self.environment, cwd=self.store, text=True, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=120, check=False,
        )  # fmt: skip

    def processes(self) -> dict[str, list[int]]:
        """Session leaders of the store by role."""
        found: dict[str, list[int]] = {}
        for process in tagged(self.store):
            if process.leads:
                found.setdefault(process.tags.get(ROLE_TAG, ""), []).append(process.pid)
        return found


def one_round(bench: Bench, tally: Tally, chance: random.Random, *, kills: int) -> None:
    """`up`, some kills with ordinary commands between them, `down`, and a look at what is left."""
    follower = bench.start("up", "killed.yaml", "--yes")
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, 1.2))
        _watch_doubles(bench, tally)
        victim = chance.choice(VICTIMS)
        pids = [follower.pid] if victim == "cli" else bench.processes().get(victim, [])
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        tally.kills += 1
        name = chance.choice(NEXT_COMMANDS)
        arguments = {
            "up": ("up", "killed.yaml", "--yes", "--detach"),
            "down": ("down", "killed"),
            "cost": ("cost", "killed"),
        }
        done = bench.run(*arguments.get(name, ("status",)))
        if done.returncode not in (0, 2):  # 2: a kill so early that the run isn't known yet
            tally.bad_exits.append(f"{name}: {done.returncode}: {done.stderr.strip()[-200:]}")
        _watch_doubles(bench, tally)
    down = bench.run("down", "killed")
    if down.returncode not in (0, 2):
        tally.bad_exits.append(f"down: {down.returncode}: {down.stderr.strip()[-300:]}")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(follower.pid, signal.SIGKILL)
    follower.communicate()
    _check(bench, tally)


def _watch_doubles(bench: Bench, tally: Tally) -> None:
    """Two of a role that both do its work: one that has just been refused the lock lives for a moment."""
    many = {role for role, pids in bench.processes().items() if role in ("trainer", "sandbox") and len(pids) > 1}
    if many:
        time.sleep(1.0)
        tally.doubles += [role for role in many if len(bench.processes().get(role, [])) > 1]


def _check(bench: Bench, tally: Tally) -> None:
    left = [f"{p.tags.get(ROLE_TAG)} {p.pid}" for p in tagged(bench.store) if p.tags.get(ROLE_TAG) != "supervisor"]
    if left:
        time.sleep(1.0)
        tally.orphans += [f"{p.tags.get(ROLE_TAG)} {p.pid}" for p in tagged(bench.store)]
    with open_ledger(str(bench.store / "ledger.db")) as ledger:
        for run in ledger.runs():
            if run.state in LIVE:
                tally.orphans.append(f"{run.run_id} is {run.state} after down")
            marks = bench.store / "runs" / run.run_id / "marks.jsonl"
            lines = marks.read_text("utf-8").splitlines() if marks.exists() else []
            marked = [json.loads(line)["step"] for line in lines]
            recorded = [step.step for step in ledger.steps(run.run_id)]
            if marked != list(range(1, len(marked) + 1)) or recorded != marked:
                tally.lost.append(f"{run.run_id}: marks {marked}, ledger {recorded}")
            bill = ledger.bill(run.run_id)
            node = [line for line in bill.lines if line.role == NODE]
            seconds = sum((Decimal(str(line.seconds)) for line in node), Decimal(0))
            span = Decimal(str(((run.ended_at or run.created_at) - run.created_at).total_seconds()))
            wrong = abs(bill.known_usd - seconds * PRICE / 3600) > Decimal("0.00001") or seconds > span + 2
            if wrong or len(node) > 1:
                tally.wrong_bills.append(f"{run.run_id}: {bill.known_usd} for {seconds} s of {span} s")


def kill_many(store: Path, *, kills: int, seed: int, per_round: int = 5) -> Tally:
    """At least `kills` kills, seeded and repeatable in their choices; timing is the machine's."""
    tally, chance = Tally(), random.Random(seed)
    bench = Bench(store, Path(sys.executable).parent / "clusterctl")
    while tally.kills < kills:
        one_round(bench, tally, chance, kills=per_round)
    return tally
