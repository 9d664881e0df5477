"""Where the hours go: stages, phases of a unit of work, GPUs that wait for the sandbox fleet, overhead."""

from __future__ import annotations

from clusterctl.ui.formats import (
    DurationUnit,
    column,
    count,
    cured,
    duration,
    duration_unit,
    hours,
    hours_band,
    number,
    percent,
    phase_unit,
    signed_usd,
    usd,
    usd_band,
)
from clusterctl.ui.plan_page.context import PageContext, labelled
from clusterctl.ui.spans import Line, Span, Style, line, wrap
from clusterctl.ui.table import Cell, Column, bar, cell, draw, right
from planners.plan.plan_rows import Idle
from planners.plan.value import Phase, Plan, Pool, StagePlan

SHOWN_OVERHEAD = 4
NEGLIGIBLE = 0.005
"""Share of the GPU-hours below which waiting for the sandbox fleet isn't worth curing."""


def stages_and_phases(plan: Plan, page: PageContext) -> list[Line]:
    """Several stages: a table of them and the phases of the dearest; `verbose` shows the phases of all."""
    if len(plan.stages) == 1:
        return stage_phases(plan, plan.stages[0], page)
    total = sum(stage.hours.p50 for stage in plan.stages)
    unit = duration_unit(max(stage.hours.p50 for stage in plan.stages) * 3600)
    lines = draw(STAGE_COLUMNS, [_stage_row(stage, total, unit) for stage in plan.stages], page.cells)
    dearest = max(plan.stages, key=lambda stage: (stage.usd.p50 if stage.usd else 0.0, stage.hours.p50))
    for stage in plan.stages if page.verbose else (dearest,):
        folded = "" if page.verbose else " (the most expensive stage; --verbose shows all)"
        named = line("  ", Span(stage.name, Style.STRONG), f": {stage.title}", Span(folded, Style.DIM))
        lines += [[], *wrap(named, page.cells, indent=2)]
        lines += stage_phases(plan, stage, page)
    return lines


STAGE_COLUMNS = (
    "stage",
    Column("kind", drop=2),
    right("time"),
    Column(drop=1),
    right("dollars"),
    Column(drop=1),
    right("share"),
    Column(drop=3),
    Column("calibrated on", prose=True),
)


def _stage_row(stage: StagePlan, total_hours: float, unit: DurationUnit) -> list[Cell]:
    share = stage.hours.p50 / total_hours if total_hours else 0.0
    cases = stage.calibrated.cases + stage.calibrated.own_runs
    sure = cell(count(cases, "run"), Style.GOOD) if cases else cell("no similar run", Style.WARN)
    return [
        stage.name,
        stage.kind,
        *hours_band(stage.hours, unit),
        *usd_band(stage.usd, at_least=stage.at_least),
        percent(share),
        cell(bar(share, 12), Style.GPU_TIME),
        sure,
    ]


def stage_phases(plan: Plan, stage: StagePlan, page: PageContext) -> list[Line]:
    """One row per phase, the sum, then the idle line and the overhead."""
    lines = _phases(stage, page) + _idle(plan, stage, page) + _overhead(stage, page)
    if not page.verbose:
        return lines
    amounts = " · ".join(f"{name} {number(amount)}" for name, amount in stage.demand.items())
    return lines + _memory(stage, page) + labelled("workload", [line(amounts)] if amounts else [], page.cells)


def _phases(stage: StagePlan, page: PageContext) -> list[Line]:
    total = stage.seconds_per_unit.p50
    unit = phase_unit(total)
    bar_cells = 10 if page.cells < 100 else 16 if page.cells < 140 else 24
    columns = (
        "phase",
        right(f"{unit.name}/{stage.unit}"),
        right("share"),
        Column(drop=1),
        Column("bound by", prose=True),
    )
    written = column([phase.seconds / unit.seconds for phase in stage.phases] + [total / unit.seconds])
    rows: list[list[Cell]] = [
        [
            phase.name,
            seconds,
            percent(phase.share),
            cell(bar(phase.share, bar_cells), Style.SANDBOX_TIME if phase.pool == "sandbox" else Style.GPU_TIME),
            _bound_by(phase, page),
        ]
        for phase, seconds in zip(stage.phases, written, strict=False)
    ]
    low, high = column([stage.seconds_per_unit.p10 / unit.seconds, stage.seconds_per_unit.p90 / unit.seconds])
    times = f"({low}–{high})"
    if stage.units > 1:
        times += f" × {number(stage.units)}"
        all_hours = stage.units * total / 3600
        times += f" = {hours(all_hours)}" if all_hours <= stage.hours.p50 else ""  # units may run side by side
    rows.append([cell(stage.unit, Style.DIM), cell(written[-1], Style.STRONG), "", "", cell(times, Style.DIM)])
    return draw(columns, rows, page.cells)


def _bound_by(phase: Phase, page: PageContext) -> str:
    text = phase.bound_by
    if phase.exposed_seconds < phase.seconds * 0.995:
        text += "; overlapped"
        text += f" except {duration(phase.exposed_seconds)}" if phase.exposed_seconds > phase.seconds * 0.005 else ""
    if page.verbose and phase.parts:
        least = NEGLIGIBLE * phase.seconds
        parts = (f"{name} {duration(seconds)}" for name, seconds in phase.parts.items() if seconds > least)
        text += f" [{', '.join(parts)}]"
    return text


def _idle(plan: Plan, stage: StagePlan, page: PageContext) -> list[Line]:
    """`idle  GPUs wait for the sandbox fleet: $2,840 (412 GPU-h, 21%); 4 more nodes (+$531) remove it`."""
    if stage.idle is None:
        return []
    pools = [pool for pool in plan.pools if pool.stage == stage.name]
    gpu_hours = sum(pool.gpu_hours for pool in pools)
    idle = stage.idle
    share = idle.gpu_hours / gpu_hours if gpu_hours else 0.0
    if share < NEGLIGIBLE:
        text = line(f"GPUs wait less than {percent(NEGLIGIBLE)} of their time for the sandbox fleet")
        return labelled("idle", [text], page.cells)
    text = line(
        "GPUs wait for the sandbox fleet: ",
        Span(usd(idle.usd) if idle.usd is not None else "price unknown", Style.WARN),
        f" ({number(idle.gpu_hours)} GPU-h, {percent(share)}); ",
        *_cure(idle, pools),
    )
    if page.verbose and idle.reason:
        text.append(Span(f"; cause: {idle.reason}", Style.DIM))
    return labelled("idle", [text], page.cells, Style.WARN)


def _cure(idle: Idle, pools: list[Pool]) -> Line:
    if idle.cure_nodes is None:
        return line("more sandbox nodes do not help")
    sandbox = next((pool.instance_type for pool in pools if pool.role == "sandbox"), "sandbox node")
    price = "" if idle.cure_usd is None else f" ({signed_usd(idle.cure_usd)})"
    verb = "removes" if idle.cure_nodes == 1 else "remove"
    return line(Span(f"{idle.cure_nodes:,} more {sandbox}{price} {verb} {cured(idle.cure_share)}", Style.STRONG))


def _overhead(stage: StagePlan, page: PageContext) -> list[Line]:
    """`overhead  1.9 h (6%): evaluation 1.1 h, …`."""
    named = sorted(stage.waste_hours.items(), key=lambda part: -part[1])
    if not named:
        return []
    shown = named if page.verbose else named[:SHOWN_OVERHEAD]
    total = sum(stage.waste_hours.values())
    unit = duration_unit(total * 3600)
    texts = [f"{name} {_amount(value, unit)}" for name, value in shown]
    if len(named) > len(shown):
        rest = sum(value for _, value in named[len(shown) :])
        texts.append(f"{len(named) - len(shown)} more {_amount(rest, unit)}")
    share = total / stage.hours.p50 if stage.hours.p50 else 0.0
    return labelled("overhead", [line(f"{hours(total)} ({percent(share)}): {', '.join(texts)}")], page.cells)


def _amount(hours_of_it: float, unit: DurationUnit) -> str:
    """In the unit of the total; what is small beside it needs no digits."""
    return unit.of(hours_of_it * 3600) if hours_of_it * 3600 >= 0.095 * unit.seconds else "<0.1"


def _memory(stage: StagePlan, page: PageContext) -> list[Line]:
    if stage.memory is None:
        return []
    lines: list[Line] = []
    for name, parts in (("training", stage.memory.train_gib), ("rollout", stage.memory.rollout_gib)):
        if parts:
            listed = ", ".join(f"{part} {number(gib)}" for part, gib in parts.items())
            text = f"{name} {number(sum(parts.values()))} of {number(stage.memory.hbm_gib)} GiB per GPU: {listed}"
            lines += labelled("" if lines else "memory", [line(text)], page.cells)
    if stage.memory.host_gib:
        text = f"host {number(stage.memory.host_gib)} GiB per node: states outside the GPUs"
        lines += labelled("", [line(text)], page.cells)
    return lines
