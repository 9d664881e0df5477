"""What `calibrate --from` says of each log: what was read, beside what was planned, and what it changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clusterctl.runs.log_lessons import Lesson, plan_with
from clusterctl.ui.formats import duration, hours, usd
from clusterctl.ui.spans import Line, Style, clean, line, paint
from clusterctl.ui.table import Cell, Column, cell, draw, right
from clusterctl.ui.terminal import terminal
from planners.plan.value import Plan
from planners.workload.factors import Factors

COLUMNS = ("phase", right("measured"), right("planned"), right("measured/planned"), Column("in the log", prose=True))


def log_text(lessons: Sequence[Lesson], proposed: Factors) -> str:
    """The page above the factors; empty without logs."""
    screen = terminal()
    lines: list[Line] = []
    for one in lessons:
        lines += [*_head(one), *draw(COLUMNS, _rows(one), screen.columns)]
        lines += [line(f"  {clean(note)}") for note in one.notes]
        lines += [line(f"  not counted: {clean(unused.phase)}: {unused.reason}") for unused in one.unused]
        lines += [_effect(one, plan_with(one, proposed)), []]
    return paint(lines, colour=screen.colour) if lines else ""


def _head(one: Lesson) -> list[Line]:
    log, stage = one.log, one.stage
    pools = [pool for pool in one.plan.pools if pool.stage == stage.name and pool.gpu]
    fleet = " + ".join(f"{pool.nodes} × {pool.gpus_per_node} {pool.gpu}" for pool in pools) or "this machine"
    reward = "" if log.reward is None else f"; reward {log.reward:.3g}"
    steps = f"{log.num_steps:,} steps ({log.first_step:,} to {log.last_step:,}), by {log.evidence}{reward}"
    return [
        line(clean(f"{log.name}: {log.framework}, {steps}")),
        line(
            clean(f"  beside stage {stage.name} of {one.label} on {fleet}; the first of three or more steps is warm-up")
        ),
    ]


def _rows(one: Lesson) -> list[list[Cell]]:
    planned = {phase.name: phase.seconds for phase in one.stage.phases}
    return [
        [
            cell(name),
            duration(seconds),
            duration(planned[name]),
            cell(f"{seconds / planned[name]:.2f}" if planned[name] > 0 else "-", Style.STRONG),
            cell(clean(key), Style.DIM),
        ]
        for name, (seconds, key) in one.measured.items()
    ]


def _effect(one: Lesson, after: Plan | None) -> Line:
    if after is None:
        return line(f"  with the proposed factors no fleet satisfies {one.label}")
    before = one.plan
    return line(
        f"  {one.label} with the proposed factors: {hours(before.hours.p50)} → {hours(after.hours.p50)}, "
        f"{usd(before.usd.p50)} → {usd(after.usd.p50)}"
        + ("" if after.fleet == before.fleet else f"; the choice becomes {after.fleet} instead of {before.fleet}")
    )


def log_json(one: Lesson) -> dict[str, Any]:
    """What one log says."""
    log = one.log
    planned = {phase.name: phase.seconds for phase in one.stage.phases}
    return {
        "name": log.name,
        "framework": log.framework,
        "evidence": log.evidence,
        "steps": log.num_steps,
        "first_step": log.first_step,
        "last_step": log.last_step,
        "plan": one.label,
        "stage": one.stage.name,
        "phases": [
            {"phase": name, "seconds": seconds, "planned_seconds": planned[name], "key": key}
            for name, (seconds, key) in one.measured.items()
        ],
        "response_tokens": log.response_tokens,
        "prompt_tokens": log.prompt_tokens,
        "reward": log.reward,
        "notes": list(one.notes),
        "not_counted": [unused._asdict() for unused in one.unused],
    }


def effect_json(lessons: Sequence[Lesson], proposed: Factors) -> dict[str, Any]:
    """Hours and dollars of the plan, before and with the proposed factors."""
    before, after = lessons[-1].plan, plan_with(lessons[-1], proposed)
    pairs = {"before": before, "with_factors": after}
    return {
        "effect": {
            name: None if plan is None else {"hours": plan.hours.p50, "usd": plan.usd.p50, "fleet": plan.fleet}
            for name, plan in pairs.items()
        }
    }
