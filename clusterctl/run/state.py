"""What `status` and `up` show of a run: how far it is, what it costs and will cost, what is wrong and what fixes it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from clusterctl.ledger.rows import LIVE, Run, Step
from clusterctl.run.problems import Problem, problems_of, warnings_of
from clusterctl.run.records import use_of
from clusterctl.run.runs import OpenRun
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
