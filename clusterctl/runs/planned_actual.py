"""What a run has cost, planned against actual: by line, in total, and by phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from clusterctl.ledger.rows import ResourceCost
from clusterctl.runs.run import LINES, MACHINE_UNIT, OpenRun
from clusterctl.runs.run_forecast import usage
from clusterctl.targets.base import TAG_PREFIX
from planners.plan.value import Line
from planners.runs.limits import REPORTED, STANDING


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line, planned against actual.  None = unknown."""

    kind: Literal["line", "total", "hours", "phase"]
    name: str
    planned: float | None
    actual: float | None
    unit: str
    known: float | None = None
    """Of an unknown actual: what has a price."""


def planned_against_actual(run: OpenRun) -> list[BillLine]:
    """Dollars by line and in total, hours, mean seconds by phase: the plan's middle beside the ledger."""
    bill, plan = run.ledger.bill(run.run_id), run.plan
    planned = None if plan.at_least else sum(line.usd or 0.0 for line in plan.lines)
    total, hours = _line("total", planned, bill.lines), float(usage(run.ledger, run.run_id).hours)
    return [
        *_by_line(run, bill.lines),
        replace(total, kind="total"),
        BillLine(kind="hours", name="hours", planned=plan.hours.p50, actual=hours, unit="h"),
        *_by_phase(run),
    ]


def _by_line(run: OpenRun, costs: Sequence[ResourceCost]) -> list[BillLine]:
    """The plan's lines, then what the job reported and the plan does not know.

    A resource names the lines that it stands for; several lines of one resource are one here.
    """
    tag = f"{TAG_PREFIX}/{LINES}"
    tags = {resource.resource_id: resource.tags.get(tag, "") for resource in run.ledger.resources(run.run_id)}
    spent: dict[str, list[ResourceCost]] = {}
    for cost in costs:
        spent.setdefault(tags[cost.resource_id], []).append(cost)
    shared = {line_id: joined for joined in spent if joined for line_id in joined.split("+")}
    groups: dict[str, list[Line]] = {}
    for line in run.plan.lines:
        groups.setdefault(shared.get(line.id, line.id), []).append(line)
    unplanned = [cost for cost in spent.get("", []) if cost.kind in {*REPORTED, STANDING}]
    return [
        *(_planned_line(lines, spent.get(joined, [])) for joined, lines in groups.items()),
        *(_line(cost.resource_id.removeprefix(f"{run.run_id}/"), 0.0, [cost]) for cost in unplanned),
    ]


def _planned_line(lines: Sequence[Line], costs: Sequence[ResourceCost]) -> BillLine:
    usd = [line.usd for line in lines if line.usd is not None]
    planned = sum(usd) if len(usd) == len(lines) else None
    line = _line(" + ".join(line.name for line in lines), planned, costs)
    never_made = not costs and lines[0].unit == MACHINE_UNIT
    return line if costs or never_made else replace(line, actual=None)


def _line(name: str, planned: float | None, costs: Sequence[ResourceCost]) -> BillLine:
    known = float(sum((cost.known_usd for cost in costs), Decimal(0)))
    actual = None if any(cost.usd is None for cost in costs) else known
    return BillLine(kind="line", name=name, unit="USD", planned=planned, actual=actual, known=known)


def _by_phase(run: OpenRun) -> list[BillLine]:
    seconds: dict[tuple[str, str], list[float]] = {}
    for phase in run.ledger.phases(run.run_id):
        seconds.setdefault((phase.stage, phase.phase), []).append(phase.seconds)
    rows = []
    for stage in run.plan.stages:
        for planned in stage.phases:
            took = seconds.pop((stage.name, planned.name), None)
            rows.append(_phase(f"{planned.name} per {stage.unit}", planned.seconds, took))
    return rows + [_phase(f"{name} per step", None, took) for (_, name), took in seconds.items()]


def _phase(name: str, planned: float | None, took: list[float] | None) -> BillLine:
    mean = sum(took) / len(took) if took else None
    return BillLine(kind="phase", name=name, planned=planned, actual=mean, unit="s")
