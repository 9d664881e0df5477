"""Stand-in jobs that serve and step, so that what is tested is starting, watching and ending."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clusterctl.jobs import Job
from clusterctl.ledger.ledger import Ledger
from clusterctl.plan_service import Planner, open_source
from clusterctl.runs import run as run_module
from clusterctl.runs.preflight import RunLimits
from clusterctl.runs.starting import decide, prepare
from clusterctl.runs.watch import Watch
from clusterctl.targets import local
from planners.plan.value import Plan

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SPEC = """
name: stand-in
stages:
  - {kind: rlcef, model: clusterctl/quickstart, steps: 4, prompts_per_step: 2, samples_per_prompt: 2}
fleet: {targets: [local], machines: [{target: local, name: here, vcpus: 2, memory_gib: 8, usd_per_hour: 3.6}]}
"""
"""A dollar is 1,000 seconds."""
PAUSE_SECONDS = 0.05
"""Between two ticks, each of which takes some ms of a processor."""
UNPRICED = SPEC.replace(", usd_per_hour: 3.6", "")
TRAINER = textwrap.dedent("""
    import json, os, pathlib, signal, sys, time, datetime
    folder, seconds, year, at_term = pathlib.Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    def term(*_):
        if at_term == "saves":
            time.sleep(0.3)
            (folder / "checkpoint").write_text("saved")
            sys.exit(0)
    if at_term != "dies":
        signal.signal(signal.SIGTERM, term)
    marks = folder / "reports.jsonl"
    done = marks.read_text().count('"step"') if marks.exists() else 0
    print("starts after step", done, flush=True)
    for step in range(done + 1, 5):
        time.sleep(seconds)
        while step > 2 and not (folder / "go").exists():
            time.sleep(0.02)
        at = datetime.datetime.now(datetime.timezone.utc)
        at = (at.replace(year=year) if year else at).isoformat()
        row = {"at": at, "stage": "rlcef", "step": step, "of": 4, "phases": {"generate": seconds}, "metrics": {"reward": step / 4}}
        with marks.open("a") as out:
            out.write(json.dumps(row) + "\\n")
        print("step", step, flush=True)
    (folder / "result.json").write_text("{}")
""")


def planned(store: Path, spec: str = SPEC) -> Plan:
    (store / "spec.yaml").write_text(spec, encoding="utf-8")
    return Planner(now=NOW).plan(open_source(str(store / "spec.yaml")))


def wanted(ledger: Ledger, store: Path, plan: Plan, **how: bool) -> str:
    """What `up` writes."""
    launch = decide(ledger, store, plan, **how)
    prepare(ledger, store, plan, launch, RunLimits.of(plan))
    return launch.run_id


def stand_in_jobs(
    monkeypatch: pytest.MonkeyPatch,
    *,
    seconds: float = 0.1,
    year: int = 0,
    at_term: str = "dies",
    trainer: str = TRAINER,
) -> None:
    """seconds: of a step; year: of the job's clock; at_term: dies, saves or ignores."""

    def jobs(plan: object, folder: Path, **_: object) -> dict[str, Job]:
        command = (sys.executable, "-c", trainer, str(folder), str(seconds), str(year), at_term)
        serve = (sys.executable, "-c", "import time; time.sleep(600)")
        return {"sandbox": Job(command=serve), "trainer": Job(command=command)}

    monkeypatch.setattr(local, "quickstart_jobs", jobs)


def opened(store: Path, ledger: Ledger, spec: str = SPEC) -> run_module.OpenRun:
    """A run, wanted and not yet started."""
    return run_module.open_run(ledger, store, wanted(ledger, store, planned(store, spec)))


def watch(run: run_module.OpenRun, *, seconds: float = 240.0, until: int | None = None) -> bool:
    """Ticks until the run has ended, or has done `until` steps; False when it has ended.

    The stand-in does its third step when the run is watched to its end, so that a slow machine misses nothing.
    """
    watched = Watch(run)
    if until is None and run.folder.path.is_dir():  # else it has been deleted
        (run.folder.path / "go").touch()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not watched.tick():
            return False
        if until is not None and len(run.ledger.steps(run.run_id)) >= until:
            return True
        time.sleep(PAUSE_SECONDS)
    raise AssertionError("the run has not ended in time")


def tick_until(watched: Watch, reached: Callable[[], bool]) -> None:
    """Ticks of one watcher until something is so."""
    while not reached():
        watched.tick()
        time.sleep(PAUSE_SECONDS)


def live_roles(run: run_module.OpenRun) -> list[str]:
    return sorted(instance.role for instance in run.target.observe(run.ref).instances)


def kill_role(run: run_module.OpenRun, role: str) -> None:
    for instance in run.target.observe(run.ref).instances:
        if instance.role == role:
            os.kill(int(instance.address.partition(":")[0]), signal.SIGKILL)


def kinds(run: run_module.OpenRun) -> list[str]:
    return [event.kind for event in run.ledger.events(run.run_id)]
