"""Every number of a plan by id, so that any of them can be asked for.  The planner's own terms win.

For what the planner gave no term, the plan's own fields say enough: a bill line is quantity × price, a pool is
nodes × hours × price.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date

from planners.plan.value import Line, Plan, Pool, StagePlan, Term

OVERVIEW = "?"
"""What `--explain` without an id asks for; no id looks like it."""


def all_terms(plan: Plan) -> dict[str, Term]:
    """Terms by id: those of the plan, then those that its pools, lines, stages, phases and outcomes imply."""
    terms = dict(plan.terms)
    for term in _implied(plan):
        terms.setdefault(term.id, term)
    return terms


def _implied(plan: Plan) -> Iterator[Term]:
    lines = (line.id for line in plan.lines)
    yield _term("usd", "dollars of the run", plan.usd.p50, "USD", "sum of the bill", inputs=lines)
    stages = (f"hours.{stage.name}" for stage in plan.stages)
    yield _term("hours", "hours of the run", plan.hours.p50, "h", "sum of the stages", inputs=stages)
    for stage in plan.stages:
        yield from _of_stage(stage)
    for line in plan.lines:
        yield from _of_line(line)
    for pool in plan.pools:
        yield _of_pool(pool)
    for outcome in plan.economics:
        identity = "usd." + re.sub(r"[^a-z0-9]+", "_", outcome.name.lower()).strip("_")
        yield _term(identity, f"dollars {outcome.name}", outcome.usd, "USD", outcome.formula)


def _term(
    identity: str,
    label: str,
    value: float | None,
    unit: str,
    formula: str = "",
    *,
    inputs: Iterable[str] = (),
    source: str = "",
) -> Term:
    return Term(id=identity, label=label, value=value, unit=unit, formula=formula, inputs=tuple(inputs), source=source)


def _of_stage(stage: StagePlan) -> Iterator[Term]:
    name, unit, waste = stage.name, f"seconds.{stage.name}", f"waste.{stage.name}"
    formula = f"{stage.units:,.0f} × seconds per {stage.unit} + waste"
    yield _term(f"hours.{name}", f"hours of stage {name}", stage.hours.p50, "h", formula, inputs=(unit, waste))
    phases = (f"phase.{name}.{phase.id}" for phase in stage.phases)
    seconds = stage.seconds_per_unit.p50
    yield _term(unit, f"seconds per {stage.unit}", seconds, "s", "exposed seconds of the phases", inputs=phases)
    parts = " + ".join(f"{part} {hours:.2g}" for part, hours in stage.waste_hours.items())
    yield _term(waste, "start-up and waste", sum(stage.waste_hours.values()), "h", parts)
    if (idle := stage.idle) is not None:
        formula = f"{idle.gpu_hours:,.4g} GPU-hours × the GPUs' price"
        yield _term(f"idle.{name}", "GPUs wait for the sandbox fleet", idle.usd, "USD", formula, source=idle.reason)
    for phase in stage.phases:
        parts = ", ".join(f"{part} {seconds:.3g} s" for part, seconds in phase.parts.items())
        source = f"bound by {phase.bound_by}"
        yield _term(f"phase.{name}.{phase.id}", phase.name, phase.seconds, "s", parts, source=source)


def _of_line(line: Line) -> Iterator[Term]:
    price = f"{line.id}.price"
    yield _term(line.id, line.name, line.usd, "USD", f"{line.quantity:,.6g} {line.unit} × price", inputs=(price,))
    source = _source(line.source, line.as_of)
    yield _term(price, f"price of {line.name}", line.usd_per_unit, f"USD per {line.unit}", source=source)


def _of_pool(pool: Pool) -> Term:
    label, formula = f"{pool.role}: {pool.nodes:,} × {pool.instance_type}", f"{pool.nodes:,} nodes × {pool.hours:.4g} h"
    source = _source(pool.price_source, pool.price_as_of)
    return _term(pool.id, label, pool.usd, "USD", f"{formula} × price", source=source)


def _source(name: str, day: date | None) -> str:
    return f"{name}, {day}" if name and day else name or "no price is known"
