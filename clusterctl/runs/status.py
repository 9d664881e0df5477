"""What `status` and `up` show of a run: how far it is, what it costs and will cost, what is wrong and what fixes it.

What is wrong with a run, each with the command that fixes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from clusterctl.ledger.rows import LIVE, Run, Step
from clusterctl.runs.alerts import alert_text, run_alerts
from clusterctl.runs.preflight import above
from clusterctl.runs.recorder import fruitless_starts, use_of
from clusterctl.runs.run import OpenRun
from clusterctl.targets.log_times import last_error
from planners.runs.limits import WARN_SHARE, idle_seconds
from planners.runs.outlook import RECENT_STEPS, Outlook, Spending, outlook, pace_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """One run, now."""

    row: Run
    roles: tuple[str, ...]
    """What is live of it, as its target sees it."""
    step: Step | None
    spending: Spending
    outlook: Outlook
    planned_usd: float | None
    """P50; None while a price is unknown."""
    planned_hours: float
    now: datetime
    problems: tuple[Problem, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether it may still change."""
        return self.row.state in LIVE

    @property
    def ends_at(self) -> datetime | None:
        """When it will be done at its pace; None once it has ended."""
        return self.now + timedelta(seconds=self.outlook.seconds_left) if self.is_live else None


def state_of(run: OpenRun, *, adopted: bool = False, closely: bool = False) -> RunState:
    """The run, now.

    adopted: its supervisor had died, and a new one has just been started.  closely: once it has ended, say too what
    its steps warn of.
    """
    ledger, row = run.ledger, run.ledger.get_run(run.run_id)
    steps = ledger.steps(run.run_id, last=RECENT_STEPS + 1)
    now = run.clock.now()
    stage, use = run.plan.stages[0], use_of(ledger, run.run_id)
    price, live = run.usd_per_hour, row.state in LIVE
    spending = Spending(
        hours=use.hours,
        known_usd=use.priced_usd,
        priced=not use.unpriced,
        usd_per_hour=price + use.reported_usd_per_hour if live and price is not None else price,
        limit_usd=row.limit_usd,
        limit_hours=row.limit_hours,
    )
    last = steps[-1] if steps else None
    signs = [moment for moment in (last.at if last else None, row.started_at) if moment is not None]
    began = max(signs, default=None)
    since = (now - began).total_seconds() if began and live else 0.0
    ahead = outlook(
        done=last.step if last else 0,
        of=last.of if last else round(stage.units),
        since_step_seconds=since,
        step_seconds=pace_seconds([step.at for step in steps], stage.seconds_per_unit.p50),
        spending=spending,
    )
    state = RunState(
        row=row,
        roles=tuple(sorted(i.role for i in run.target.observe(run.ref))),
        step=last,
        spending=spending,
        outlook=ahead,
        planned_usd=None if run.plan.at_least else run.plan.usd.p50,
        planned_hours=run.plan.hours.p50,
        now=now,
    )
    took_over = (Problem(what="its supervisor had died; a new one has taken over"),) if adopted else ()
    warned = warnings_of(run) if live or closely else ()
    return replace(state, problems=(*took_over, *problems_of(run, state), *warned))


def as_data(state: RunState) -> dict[str, Any]:
    """What `--json` prints: money as decimal strings, null = unknown."""
    row, ahead, money = state.row, state.outlook, state.spending
    moments = {name: getattr(row, name) for name in ("created_at", "started_at", "ended_at")}
    return {
        "run": row.run_id,
        "name": row.name,
        "state": row.state,
        "wanted": row.desired,
        "target": row.target,
        "live": list(state.roles),
        "step": ahead.done,
        "of": ahead.of,
        "note": row.note,
        **{name: moment and moment.isoformat() for name, moment in moments.items()},
        "metrics": dict(state.step.metrics) if state.step else {},
        "hours": round(float(money.hours), 6),
        "hours_at_end": round(float(ahead.hours_at_end), 6),
        "overdue_seconds": round(ahead.overdue_seconds, 1),
        "seconds_left": round(ahead.seconds_left, 1) if state.is_live else None,
        "usd": _text(money.usd),
        "known_usd": _text(money.known_usd),
        "usd_at_end": _text(ahead.usd_at_end),
        "usd_per_hour": _text(money.usd_per_hour),
        "planned_usd": state.planned_usd,
        "planned_hours": state.planned_hours,
        "limit_usd": _text(money.limit_usd),
        "limit_hours": _text(money.limit_hours),
        "stops_at_step": ahead.stops_at_step,
        "problems": [{"what": problem.what, "fix": problem.fix} for problem in state.problems],
    }


def _text(amount: object) -> str | None:
    return None if amount is None else str(amount)


LITTLE_ROOM_MIB = 100
"""Less than a few checkpoints of a small policy and their ledger need.  Assumption."""
MIB = 1 << 20
FRUITLESS_SHOWN = 2
"""A role that is started a second time without a step in between is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong; `fix` is a command or an advice, or empty where nothing need be done."""

    what: str
    fix: str = ""


def problems_of(run: OpenRun, state: RunState) -> tuple[Problem, ...]:
    """The worst first; none while all is well."""
    marks = (Problem(what=event.message) for event in run.ledger.events(run.run_id, kind="mark"))
    return (*(_of_live(run, state) if state.is_live else _of_ended(run, state)), *marks)


def warnings_of(run: OpenRun) -> tuple[Problem, ...]:
    """What its steps and samples warn of, the worst first."""
    found = run_alerts(run.ledger, run.run_id, run.folder.path)
    return tuple(Problem(what=alert_text(alert), fix=alert.advice) for alert in found)


def _of_ended(run: OpenRun, state: RunState) -> Iterator[Problem]:
    identity, note = state.row.run_id, state.row.note
    if state.roles:
        yield Problem(what=f"still there: {', '.join(state.roles)}", fix=f"clusterctl down {identity}")
    if state.row.state == "failed":
        role = next((role.name for role in run.roles if f" {role.name} " in f" {note} "), "supervisor")
        yield Problem(what=note, fix=f"clusterctl logs {identity} --role {role} --tail 20")
    elif state.row.state == "stopped" and note:
        yield Problem(what=note, fix=f"clusterctl up {identity}{_raised(state) if 'limit' in note else ''}")


def _of_live(run: OpenRun, state: RunState) -> Iterator[Problem]:
    identity, ahead, money = state.row.run_id, state.outlook, state.spending
    free_mib = _free_mib(run)
    if free_mib is not None and free_mib < LITTLE_ROOM_MIB:
        yield Problem(what=f"the disk of {run.folder.path} has {free_mib:.0f} MiB left", fix="clusterctl sweep")
    for role, starts in fruitless_starts(run).items():
        if starts >= FRUITLESS_SHOWN:
            said = last_error(run.folder.logs / f"{role}.log")
            yield Problem(
                what=f"{role} has been started {starts} times without a finished step: {said}",
                fix=f"clusterctl logs {identity} --role {role} --tail 20",
            )
    patience = idle_seconds(run.spec.limits.idle_minutes, run.planned_step_seconds)
    idle = (state.now - run.clock.progress_at).total_seconds() if run.clock.progress_at else 0.0
    if idle > patience / 2:
        yield Problem(
            what=f"no step for {idle / 60:.0f} minutes; it is stopped after {patience / 60:.3g}",
            fix=f"clusterctl logs {identity} --tail 20",
        )
    if ahead.stops_at_step is not None:
        yield Problem(
            what=f"at this pace its limit in {ahead.stopped_by} stops it at step {ahead.stops_at_step} of {ahead.of}",
            fix=f"clusterctl up {identity}{_raised(state)}",
        )
    elif state.row.desired == "up" and (near := _near_limit(state)):
        yield Problem(what=near, fix=f"clusterctl up {identity}{_raised(state)}")
    if money.usd_per_hour is None and money.limit_hours is None:
        yield Problem(
            what="nothing but idleness can stop it: its price is unknown and it has no limit in hours",
            fix=f"clusterctl up {identity} --limit-hours {above(max(float(ahead.hours_at_end), 1.0))}",
        )


def _near_limit(state: RunState) -> str:
    money = state.spending
    for name, used, limit in (("usd", money.known_usd, money.limit_usd), ("hours", money.hours, money.limit_hours)):
        if limit and used >= WARN_SHARE * limit:
            return f"{used / limit:.0%} of its limit in {name} is used"
    return ""


def _raised(state: RunState) -> str:
    """Options that would let the run finish."""
    money, ahead = state.spending, state.outlook
    options = ""
    if (
        money.limit_usd is not None
        and ahead.usd_at_end is not None
        and ahead.usd_at_end >= WARN_SHARE * money.limit_usd
    ):
        options += f" --limit-usd {above(float(ahead.usd_at_end) / float(WARN_SHARE))}"
    if money.limit_hours is not None and ahead.hours_at_end >= WARN_SHARE * money.limit_hours:
        options += f" --limit-hours {above(float(ahead.hours_at_end) / float(WARN_SHARE))}"
    return options


def _free_mib(run: OpenRun) -> float | None:
    try:
        return shutil.disk_usage(run.folder.path).free / MIB
    except OSError:
        return None
