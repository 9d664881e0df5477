"""What is wrong with a run, each with the command that fixes it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clusterctl.run.alerts import alert_text, run_alerts
from clusterctl.run.preflight import above
from clusterctl.run.records import fruitless_starts
from clusterctl.run.runs import OpenRun
from clusterctl.targets.log_times import last_error
from planners.runs.limits import WARN_SHARE, idle_seconds

if TYPE_CHECKING:
    from clusterctl.run.state import RunState

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
