"""`up`: decide which run a plan means, write the intent, start the supervisor.  Safe to repeat after any crash."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, Infeasible, StateError
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.runs.folder import RunFolder
from clusterctl.runs.run import LOCAL, open_run, run_id_of
from clusterctl.specfile.plan_file import write_plan
from clusterctl.targets.local import SUPERVISOR, LocalTarget, log_file
from clusterctl.targets.log_times import last_error
from clusterctl.targets.processes import running, spawn
from planners.plan.value import Plan
from planners.runs.limits import LimitState, RunLimits, Usage, check_limits, planned_rate

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

SUPERVISOR_VARIABLES = (
    "CLUSTERCTL_LEDGER",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICE",
    "PGSERVICEFILE",
    "PGSSLMODE",
    "PGSSLROOTCERT",
    "PGSSLCERT",
    "PGSSLKEY",
)
"""What the supervisor needs to reach the ledger.  Never an argument, and no role's: it may hold a password."""
SUPERVISOR_SECONDS = 60.0
"""For a new supervisor to take its lock: an interpreter's start on a very busy machine.  A dead one is noticed."""


class UpAction(StrEnum):
    """What `up` does."""

    START = "start"
    RESUME = "resume"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The run that a plan means, and what `up` does to it."""

    deed: UpAction
    run_id: str
    run: Run | None
    """As it is recorded; None for one that is not."""


def decide(ledger: Ledger, store: Path, plan: Plan, *, only: Run | None = None, again: bool = False) -> Launch:
    """The plan's live run is followed, its stopped or failed one goes on, else a new one starts.

    only: this run and no other of the plan; again: a new one although an old one could be meant.
    Raises StateError when another plan runs under this name, when the run has finished, or when its folder is gone.
    """
    for run in ledger.runs(states=LIVE):
        if run.name == plan.name and run.plan_id != plan.id:
            raise StateError(
                f"a run named `{plan.name}` is live with another plan ({run.run_id})",
                hint=f"`clusterctl down {run.run_id}` first, or give the spec another name",
            )
    runs = ledger.runs(plan_id=plan.id)
    mine = [only] if only is not None else runs
    latest = next((run for run in mine if run.state in LIVE), mine[0] if mine else None)
    if latest is not None and latest.state in LIVE:
        return Launch(deed=UpAction.FOLLOW, run_id=latest.run_id, run=latest)
    if latest is None or again:
        known, number = {run.run_id for run in runs}, 1
        while run_id_of(plan, again=number) in known:
            number += 1
        return Launch(deed=UpAction.START, run_id=run_id_of(plan, again=number), run=None)
    if latest.state == "finished":
        raise StateError(
            f"this plan has been run: {latest.run_id} has finished",
            hint=f"`clusterctl cost {latest.run_id}` shows its bill; `--again` runs the plan once more",
        )
    if not RunFolder(store / "runs" / latest.run_id).plan.exists():
        raise StateError(
            f"{latest.run_id} can't go on: its folder, with its checkpoint, is gone",
            hint="`--again` starts another run of the plan from the beginning",
        )
    return Launch(deed=UpAction.RESUME, run_id=latest.run_id, run=latest)


def check_limits_left(use: Usage, launch: Launch, limits: RunLimits) -> None:
    """Raises Infeasible where a run that should go on has used up its limits."""
    verdict = check_limits(use, limit_usd=limits.usd, limit_hours=limits.hours)
    if launch.run is not None and verdict.standing is LimitState.STOP:
        raise Infeasible(
            f"{launch.run_id} can't go on: {verdict.reason}",
            hint=f"`clusterctl up {launch.run_id} --limit-usd N` (or --limit-hours N) gives it more",
        )


def prepare(ledger: Ledger, store: Path, plan: Plan, launch: Launch, limits: RunLimits) -> None:
    """Writes what is wanted: plan, folder and run.  Whatever of it is there already stays.

    The plan goes into the ledger first: where that can't be written, nothing else is begun.
    """
    run_id, folder = launch.run_id, RunFolder(store / "runs" / launch.run_id)
    content = plan.model_dump_json(exclude={"created_at"})
    ledger.put_plan(plan.id, schema=plan.schema_name, content=content, at=plan.created_at)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterctlError(f"{folder.path} can't be made: {error.strerror}", hint="make room, then again") from error
    if not folder.plan.exists():
        write_plan(folder.plan, plan)
    if launch.deed is UpAction.START:
        ledger.add_run(
            Run(
                run_id=run_id,
                name=plan.name,
                target=LOCAL,
                plan_id=plan.id,
                created_at=ledger.now(),
                limit_usd=limits.usd,
                limit_hours=limits.hours,
                usd_per_hour=planned_rate(plan).usd_per_hour,
                labels=plan.spec.get("labels", {}),
            )
        )
        ledger.record_event(run_id, "wanted", f"up of plan {plan.id}", event_id=f"wanted:{run_id}")
        return
    run, number = launch.run, len(ledger.events(run_id, kind="wanted")) + 1
    if run is not None and (run.limit_usd, run.limit_hours) != (limits.usd, limits.hours):
        ledger.set_limits(run_id, usd=limits.usd, hours=limits.hours)
        ledger.record_event(run_id, "limits", f"now {limits}")
    if launch.deed is UpAction.RESUME or (run is not None and run.desired == "down"):
        at = open_run(ledger, store, run_id).clock.now()
        ledger.record_event(run_id, "wanted", "up again", event_id=f"wanted:{run_id}:{number}", at=at)
        ledger.reopen(run_id)


def is_watched(ledger: Ledger, run_id: str) -> bool:
    """Whether a live supervisor watches the run."""
    try:
        with run_lock(ledger, run_id, SUPERVISOR):
            return False
    except LockHeldError:
        return True


def ensure_supervisor(ledger: Ledger, store: Path, run_id: str, *, wait: bool = False) -> bool:
    """Starts the run's supervisor, detached, unless one is live; whether it did.  Two at once is harmless: the second
    leaves.

    wait: until it watches the run.  Raises ClusterctlError where it does not.
    """
    if is_watched(ledger, run_id):
        return False
    run = open_run(ledger, store, run_id)
    target = run.target
    if not isinstance(target, LocalTarget):
        raise ClusterctlError(f"{run_id} does not run on this machine")
    environment = target.environment(run.ref, SUPERVISOR, f"{run_id}/{SUPERVISOR}")
    environment |= {name: os.environ[name] for name in SUPERVISOR_VARIABLES if name in os.environ}
    log = log_file(run.folder.path, SUPERVISOR)
    pid = spawn(
        [sys.executable, "-P", "-m", "clusterctl.runs.supervisor", str(store), run_id],
        folder=store,
        environment=environment,
        log=log,
    )
    deadline = time.monotonic() + SUPERVISOR_SECONDS
    while wait and not is_watched(ledger, run_id) and ledger.get_run(run_id).state in LIVE:
        if time.monotonic() > deadline or not running(pid):
            if is_watched(ledger, run_id) or ledger.get_run(run_id).state not in LIVE:
                break  # by another, that was a moment earlier; or it was a short run
            raise ClusterctlError(
                f"the supervisor of {run_id} has not started: {last_error(log) or 'it said nothing'}",
                hint=f"`clusterctl up {run_id}` tries again; `clusterctl down {run_id}` ends what has been started",
            )
        time.sleep(0.05)
    return True
