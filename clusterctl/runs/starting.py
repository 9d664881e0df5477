"""`up`: decide which run a plan means, write the intent, start the supervisor.  Safe to repeat after any crash."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, Infeasible, StateError
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.runs.folder import RunFolder
from clusterctl.runs.run import open_run, run_id_of
from clusterctl.runs.standing import standing_of
from clusterctl.specfile.plan_file import write_plan
from clusterctl.targets import target_of
from clusterctl.targets.wishes import Wish
from planners.plan.value import Plan
from planners.runs.limits import MACHINE, LimitState, RunLimits, Usage, check_limits
from planners.runs.plan_change import PlanChange

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger


class UpAction(StrEnum):
    """What `up` does."""

    START = "start"
    RESUME = "resume"
    FOLLOW = "follow"
    CHANGE = "change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The run that a plan means, and what `up` does to it."""

    action: UpAction
    run_id: str
    run: Run | None
    """As it is recorded; None for one that is not."""
    change: PlanChange | None = None
    """From its plan to the one that is meant now."""


def decide(ledger: Ledger, store: Path, plan: Plan, *, only: Run | None = None, again: bool = False) -> Launch:
    """The plan's live run is followed, its stopped or failed one goes on; a run of its name that is live, or whose
    cluster stands, and has another plan is changed; else a new one starts.

    only: this run and no other of the plan; again: a new one although an old one could be meant.
    Raises StateError when a run can't be changed so, when the run has finished, or when its folder is gone.
    """
    named = ledger.runs(name=plan.name)
    for run in named if only is None else ():
        if run.plan_id != plan.id and (run.state in LIVE or _stands(ledger, run)):
            return Launch(action=UpAction.CHANGE, run_id=run.run_id, run=run, change=_change(ledger, run, plan))
    runs = [run for run in named if run.plan_id == plan.id]
    mine = [only] if only is not None else runs
    latest = next((run for run in mine if run.state in LIVE), mine[0] if mine else None)
    if latest is not None and latest.state in LIVE:
        return Launch(action=UpAction.FOLLOW, run_id=latest.run_id, run=latest)
    if latest is None or again:
        known, number = {run.run_id for run in named}, 1
        while run_id_of(plan, again=number) in known:
            number += 1
        return Launch(action=UpAction.START, run_id=run_id_of(plan, again=number), run=None)
    if latest.state == "finished":
        raise StateError(
            f"this plan was run already: {latest.run_id} has finished",
            hint=f"`clusterctl cost {latest.run_id}` shows its bill; `--again` runs the plan once more",
        )
    opened = open_run(ledger, store, latest.run_id)
    if not opened.target.home.has_folder(opened.ref):
        raise StateError(
            f"{latest.run_id} can't be resumed: its folder with the checkpoint is gone",
            hint="`--again` starts another run of the plan from the beginning",
        )
    return Launch(action=UpAction.RESUME, run_id=latest.run_id, run=latest)


def held_plan(ledger: Ledger, plan: Plan) -> Plan | None:
    """The plan of the live run of this name, whose machines need not be had once more; None where there is none."""
    for run in ledger.runs(states=LIVE, name=plan.name):
        if any(r.kind == MACHINE and r.state == "live" for r in ledger.live_resources(run.run_id)):
            with contextlib.suppress(ClusterctlError):
                return stored_plan(ledger, run.plan_id or "", name=f"the plan of {run.run_id}")
    return None


def _stands(ledger: Ledger, run: Run) -> bool:
    """Whether a run that was ended before its work was done has its cluster still."""
    return run.state != "finished" and any(r.state == "live" for r in standing_of(ledger, run.run_id))


def _change(ledger: Ledger, run: Run, plan: Plan) -> PlanChange:
    """Raises StateError where the run can't go on with this plan."""
    before = stored_plan(ledger, run.plan_id or "", name=f"the plan of {run.run_id}")
    change = PlanChange(before=before, after=plan, stage=run.stage or before.stages[0].name)
    steps = [step for step in ledger.steps(run.run_id) if step.stage == change.stage or len(before.stages) == 1]
    last = max(steps, key=lambda step: step.step, default=None)
    if why := change.refusal(steps=last.step if last else 0.0, of=last.of if last else 0.0):
        raise StateError(
            f"{run.run_id} is {'live' if run.state in LIVE else 'there'} with another plan, and can't go on with this "
            f"one: {why}",
            hint=f"`clusterctl down {run.run_id}` ends it, and `clusterctl up` then starts the new one;"
            " or give the spec another name",
        )
    return change


def decide_with_place(
    ledger: Ledger, store: Path, plan: Plan, *, only: Run | None = None, again: bool = False
) -> Launch:
    """As `decide`, once what the place knows of the plan's runs is in the ledger: another one may have started them."""
    home = target_of(plan, store).home
    if only is not None:
        opened = open_run(ledger, store, only.run_id)
        home.pull(ledger, opened.ref, anew=True)
        only = ledger.get_run(only.run_id)
    for run in ledger.runs(name=plan.name) if only is None else ():
        if run.plan_id == plan.id or run.state in LIVE:
            opened = open_run(ledger, store, run.run_id)
            opened.target.home.pull(ledger, opened.ref, anew=True)
    while True:
        launch = decide(ledger, store, plan, only=only, again=again)
        if launch.action is not UpAction.START or not home.adopt(ledger, launch.run_id):
            return launch


def limits_of(plan: Plan, launch: Launch, *, usd: Decimal | None, hours: Decimal | None) -> RunLimits:
    """What is given here wins over what the run has, and that over the spec; an edit of the spec's limits wins, too."""
    limits = RunLimits.of(plan, usd=usd, hours=hours)
    if launch.run is None:
        return limits
    before = RunLimits.of(launch.change.before if launch.change else plan)
    after = RunLimits.of(plan)
    return RunLimits(
        usd=usd or (launch.run.limit_usd if after.usd == before.usd else after.usd),
        hours=hours or (launch.run.limit_hours if after.hours == before.hours else after.hours),
    )


def check_limits_left(use: Usage, launch: Launch, limits: RunLimits) -> None:
    """Raises Infeasible where a run that should go on has used up its limits."""
    verdict = check_limits(use, limit_usd=limits.usd, limit_hours=limits.hours)
    if launch.run is not None and verdict.standing is LimitState.STOP:
        raise Infeasible(
            f"{launch.run_id} can't be resumed: {verdict.reason}",
            hint=f"`clusterctl up {launch.run_id} --limit-usd N` (or --limit-hours N) raises it",
        )


def prepare(ledger: Ledger, store: Path, plan: Plan, launch: Launch, limits: RunLimits) -> None:
    """Writes what is wanted: plan, folder and run.  Whatever of it is there already stays.

    The plan goes into the ledger first: where that can't be written, nothing else is begun.
    """
    run_id, folder = launch.run_id, RunFolder(store / "runs" / launch.run_id)
    ledger.keep_plan(plan)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClusterctlError(f"{folder.path} can't be made: {error.strerror}", hint="make room, then again") from error
    with contextlib.suppress(ClusterctlError):  # a copy for people
        write_plan(folder.plan, plan)
    if launch.action is UpAction.START:
        ledger.add_run(
            Run(
                run_id=run_id,
                name=plan.name,
                target=plan.pools[0].cloud,
                plan_id=plan.id,
                created_at=ledger.now(),
                limit_usd=limits.usd,
                limit_hours=limits.hours,
                labels=plan.spec.get("labels", {}),
            )
        )
        ledger.record_event(run_id, "wanted", f"up of plan {plan.id}", event_id=f"wanted:{run_id}")
        return
    run = launch.run
    changed = run is not None and (run.limit_usd, run.limit_hours) != (limits.usd, limits.hours)
    if launch.action is not UpAction.FOLLOW or changed or (run is not None and run.desired == "down"):
        opened = open_run(ledger, store, run_id)
        wish = Wish(desired="up", limit_usd=limits.usd, limit_hours=limits.hours, plan_id=plan.id)
        opened.target.home.wish(ledger, opened.ref, wish)
