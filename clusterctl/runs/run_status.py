"""What is true of a run now, by the ledger: how far it is, what it costs, what is wrong and what fixes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from clusterctl.ledger.rows import LIVE, Run, Step
from clusterctl.runs.capacity import ASKED_AGAIN
from clusterctl.runs.preflight import above
from clusterctl.runs.recorder import Recorder
from clusterctl.runs.run import PROCESS, OpenRun
from clusterctl.runs.run_alerts import alert_text, run_alerts
from clusterctl.runs.run_forecast import run_forecast
from clusterctl.runs.standing import what_stays
from clusterctl.runs.waiting import QUEUED, WAITING, problems_elsewhere
from clusterctl.runs.watching import Watched
from clusterctl.targets.role_logs import last_error
from clusterctl.ui.formats import elapsed
from planners.runs.forecast import Forecast
from planners.runs.limits import STALLED_SHARE, WARN_SHARE, idle_seconds

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

LITTLE_ROOM_MIB = 100
"""Less than a few checkpoints of a small policy and their ledger need.  Assumption."""
RECENT_SECONDS = 60.0
"""So long ago what went wrong still counts as going on."""
RESTARTS_SHOWN = 2
"""A role that is started a second time without a step in between is worth a word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong; `fix` is a command or an advice, or empty where nothing need be done."""

    what: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One run, now."""

    row: Run
    roles: tuple[str, ...]
    """What is live of it, as its supervisor last saw it."""
    step: Step | None
    """The last that was done."""
    forecast: Forecast
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
    def seconds_left(self) -> float | None:
        """P50; None once it has ended."""
        left = self.forecast.seconds_left
        return left.p50 if left is not None and self.is_live else None

    @property
    def ends_at(self) -> datetime | None:
        """When it will be done, at P50; None once it has ended."""
        return None if self.seconds_left is None else self.now + timedelta(seconds=self.seconds_left)


def state_of(run: OpenRun, *, watched: Watched = Watched.YES, closely: bool = False) -> RunStatus:
    """The run, now.

    watched: whether its supervisor lived when it was looked for.  closely: once it has ended, say too what its steps
    warn of.
    """
    ledger, row, now = run.ledger, run.ledger.get_run(run.run_id), run.clock.now()
    state = RunStatus(
        row=row,
        roles=live_slots(ledger, run.run_id),
        step=ledger.last_step(run.run_id),
        forecast=run_forecast(ledger, row, run.plan, now),
        planned_usd=None if run.plan.at_least else run.plan.usd.p50,
        planned_hours=run.plan.hours.p50,
        now=now,
    )
    problems = list(_of_supervisor(run, state, watched))
    problems += _of_live(run, state) if state.is_live else _of_ended(run, state)
    problems += [Problem(what=event.message) for event in ledger.events(run.run_id, kind="report")]
    if state.is_live or closely:
        warned = run_alerts(ledger, run.run_id, run.folder.path)
        problems += [Problem(what=alert_text(alert), fix=alert.advice) for alert in warned]
    return replace(state, problems=tuple(problems))


def live_slots(ledger: Ledger, run_id: str) -> tuple[str, ...]:
    """Slots of the instances that the ledger holds for live."""
    live = [r for r in ledger.live_resources(run_id) if r.kind == PROCESS and r.state == "live"]
    return tuple(sorted(resource.slot for resource in live))


def _of_supervisor(run: OpenRun, state: RunStatus, watched: Watched) -> Iterator[Problem]:
    """Whether it was dead or hung, and what it last could not do."""
    identity = state.row.run_id
    if not state.is_live:
        return
    if watched is Watched.NO and state.row.started_at is not None:
        yield Problem(what="its supervisor had died; a new one has taken over")
    if watched is Watched.HANGS:
        yield Problem(
            what=f"its supervisor gave no sign for over {run.target.home.hung_seconds:.0f} s; a new one takes over",
            fix=f"clusterctl logs {identity} --role supervisor --tail 20",
        )
    for what, fix in problems_elsewhere(run, desired=state.row.desired):
        yield Problem(what=what, fix=fix)
    last = next(iter(run.ledger.events(run.run_id, kind="unreachable")[-1:]), None)
    if last is not None and state.row.beat_at is not None and (state.now - last.at).total_seconds() < RECENT_SECONDS:
        yield Problem(what=f"its machines can't be reached: {last.message}; they are billed on")
    kind = {"queued": QUEUED, "provisioning": WAITING}.get(state.row.state)
    waits = run.ledger.events(run.run_id, kind=kind)[-1:] if kind else []
    if waits:
        yield Problem(what=f"{waits[0].message}, for {elapsed((state.now - waits[0].at).total_seconds())}")
    in_vain = [event for kind in ASKED_AGAIN.values() for event in run.ledger.events(run.run_id, kind=kind)[-1:]]
    if in_vain and state.row.state in {"wanted", "provisioning", "queued"}:
        yield Problem(what=f"waits for machines: {max(in_vain, key=lambda event: event.at).message}")
    for event in run.ledger.events(run.run_id, kind="problem")[-3:]:
        yield Problem(what=event.message, fix=f"clusterctl logs {identity} --role supervisor --tail 20")


def as_data(state: RunStatus) -> dict[str, Any]:
    """What `--json` prints: money as decimal strings, null = unknown, with the known part beside it."""
    row, ahead = state.row, state.forecast
    moments = {name: getattr(row, name) for name in ("created_at", "started_at", "ended_at")}
    left = state.seconds_left
    return {
        "run": row.run_id,
        "name": row.name,
        "state": row.state,
        "wanted": row.desired,
        "target": row.target,
        "live": list(state.roles),
        "step": ahead.step,
        "of": ahead.steps,
        "note": row.note,
        **{name: moment and moment.isoformat() for name, moment in moments.items()},
        "metrics": dict(state.step.metrics) if state.step else {},
        "hours": round(float(ahead.spent.hours), 6),
        "hours_at_end": ahead.hours and round(ahead.hours.p50, 6),
        "overdue_seconds": round(ahead.overdue_seconds, 1),
        "seconds_left": None if left is None else round(left, 1),
        "usd": _text(ahead.spent.usd),
        "known_usd": _text(ahead.spent.known_usd),
        "usd_at_end": _text(ahead.usd_at_end),
        "known_usd_at_end": _text(ahead.known_usd_at_end),
        "usd_per_hour": _text(ahead.rate.usd_per_hour),
        "known_usd_per_hour": _text(ahead.rate.known_usd_per_hour),
        "planned_usd": state.planned_usd,
        "planned_hours": state.planned_hours,
        "limit_usd": _text(row.limit_usd),
        "limit_hours": _text(row.limit_hours),
        "stops_at_step": ahead.stop and ahead.stop.step,
        "problems": [{"what": problem.what, "fix": problem.fix} for problem in state.problems],
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def _of_ended(run: OpenRun, state: RunStatus) -> Iterator[Problem]:
    identity, note = state.row.run_id, state.row.note
    if stays := what_stays(run.ledger, identity):
        yield Problem(what=stays, fix=f"clusterctl down {identity}")
    if state.roles:
        yield Problem(what=f"still there: {', '.join(state.roles)}", fix=f"clusterctl down {identity}")
    if state.row.state == "failed":
        role = next((name for name in run.role_names if f" {name} " in f" {note} "), "supervisor")
        yield Problem(what=note, fix=f"clusterctl logs {identity} --role {role} --tail 20")
    elif state.row.state == "stopped" and note:
        more = ""
        if "limit" in note:
            more = _raised(run_forecast(run.ledger, state.row, run.plan, state.now, goes_on=True))
        yield Problem(what=note, fix=f"clusterctl up {identity}{more}")


def _of_live(run: OpenRun, state: RunStatus) -> Iterator[Problem]:
    """The worst first."""
    identity = state.row.run_id
    free_mib = run.folder.free_mib()
    if free_mib is not None and free_mib < LITTLE_ROOM_MIB:
        yield Problem(what=f"the disk of {run.folder.path} has {free_mib:.0f} MiB left", fix="clusterctl sweep")
    for role, history in Recorder(run).history().items():
        starts = history.restarts_without_progress
        if starts >= RESTARTS_SHOWN:
            said = last_error(run.folder.logs / f"{role}.log")
            yield Problem(
                what=f"{role} has been started {starts} times without a finished step: {said}",
                fix=f"clusterctl logs {identity} --role {role} --tail 20",
            )
    patience = idle_seconds(run.spec.limits.idle_minutes, run.planned_step_seconds)
    idle = (state.now - state.row.progress_at).total_seconds() if state.row.progress_at else 0.0
    if idle > STALLED_SHARE * patience:
        yield Problem(
            what=f"no step for {idle / 60:.0f} minutes; it is stopped after {patience / 60:.3g}",
            fix=f"clusterctl logs {identity} --tail 20",
        )
    yield from _of_limits(state)


def _of_limits(state: RunStatus) -> Iterator[Problem]:
    ahead, up = state.forecast, f"clusterctl up {state.row.run_id}"
    near = _near_limit(ahead) if state.row.desired == "up" else ""
    if ahead.stop is not None:
        at = f"step {ahead.stop.step} of {ahead.stop.steps} of {ahead.stop.stage}"
        yield Problem(what=f"at this pace its limit in {ahead.stop.limit} stops it at {at}", fix=up + _raised(ahead))
    elif near:
        yield Problem(what=near, fix=up + _raised(ahead))
    if ahead.rate.unpriced and ahead.limits.hours is None:
        hours = above(max(ahead.hours.p50 if ahead.hours else 0.0, 1.0))
        what = "nothing but idleness can stop it: its price is unknown and it has no limit in hours"
        if ahead.rate.known_usd_per_hour and ahead.limits.usd is not None:
            what = "its limit in usd counts only what has a known price, and it has no limit in hours"
        yield Problem(what=what, fix=f"{up} --limit-hours {hours}")


def _near_limit(ahead: Forecast) -> str:
    used = {"usd": (ahead.spent.known_usd, ahead.limits.usd), "hours": (ahead.spent.hours, ahead.limits.hours)}
    for name, (amount, limit) in used.items():
        if limit and amount >= WARN_SHARE * limit:
            least = "at least " if name == "usd" and ahead.spent.unpriced else ""
            return f"{least}{amount / limit:.0%} of its limit in {name} is used"
    return ""


def _raised(ahead: Forecast) -> str:
    """Options that would let the run finish."""
    needed = {
        "usd": (ahead.limits.usd, ahead.known_usd_at_end),
        "hours": (ahead.limits.hours, Decimal(ahead.hours.p50) if ahead.hours else None),
    }
    return "".join(
        f" --limit-{name} {above(float(amount / WARN_SHARE))}"
        for name, (limit, amount) in needed.items()
        if limit is not None and amount is not None and amount >= WARN_SHARE * limit
    )
