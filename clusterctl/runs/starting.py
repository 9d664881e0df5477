"""`up`: decide which run a plan means, write the intent, start the supervisor.  Safe to repeat after any crash."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, Infeasible, StateError
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.runs.folder import RunFolder
from clusterctl.runs.run import open_run, run_id_of
from clusterctl.specfile.plan_file import write_plan
from clusterctl.targets import target_of
from clusterctl.targets.wishes import Wish
from planners.plan.value import Plan
from planners.runs.limits import LimitState, RunLimits, Usage, check_limits

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger


class UpAction(StrEnum):
    """What `up` does."""

    START = "start"
    RESUME = "resume"
    FOLLOW = "follow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The run that a plan means, and what `up` does to it."""

    action: UpAction
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
        return Launch(action=UpAction.FOLLOW, run_id=latest.run_id, run=latest)
    if latest is None or again:
        known, number = {run.run_id for run in runs}, 1
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


def decide_with_place(
    ledger: Ledger, store: Path, plan: Plan, *, only: Run | None = None, again: bool = False
) -> Launch:
    """As `decide`, once what the place knows of the plan's runs is in the ledger: another one may have started them."""
    home = target_of(plan, store).home
    if only is not None:
        opened = open_run(ledger, store, only.run_id)
        home.pull(ledger, opened.ref, anew=True)
        only = ledger.get_run(only.run_id)
    for run in ledger.runs(plan_id=plan.id) if only is None else ():
        home.pull(ledger, open_run(ledger, store, run.run_id).ref, anew=True)
    while True:
        launch = decide(ledger, store, plan, only=only, again=again)
        if launch.action is not UpAction.START or not home.adopt(ledger, launch.run_id):
            return launch


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
    content = plan.model_dump_json(exclude={"created_at"})
    ledger.put_plan(plan.id, schema=plan.schema_name, content=content, at=plan.created_at)
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
    if launch.action is UpAction.RESUME or changed or (run is not None and run.desired == "down"):
        opened = open_run(ledger, store, run_id)
        wish = Wish(desired="up", limit_usd=limits.usd, limit_hours=limits.hours)
        opened.target.home.wish(ledger, opened.ref, wish)
