"""Every number of a plan by id, so that any of them can be asked for.  The planner's own terms win.

For what the planner gave no term, the plan's own fields say enough: a bill line is quantity × price, a pool is
nodes × hours × price.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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
    yield Term(
        id="usd", label="dollars of the run", value=plan.usd.p50, unit="USD", formula="sum of the bill",
        inputs=tuple(line.id for line in plan.lines),
    )  # fmt: skip
    yield Term(
        id="hours", label="hours of the run", value=plan.hours.p50, unit="h", formula="sum of the stages",
        inputs=tuple(f"hours.{stage.name}" for stage in plan.stages),
    )  # fmt: skip
    for stage in plan.stages:
        yield from _of_stage(stage)
    for line in plan.lines:
        yield from _of_line(line)
    for pool in plan.pools:
        yield _of_pool(pool)
    for outcome in plan.economics:
        identity = "usd." + re.sub(r"[^a-z0-9]+", "_", outcome.name.lower()).strip("_")
        yield Term(id=identity, label=f"dollars {outcome.name}", value=outcome.usd, unit="USD", formula=outcome.formula)


def _of_stage(stage: StagePlan) -> Iterator[Term]:
    phases = tuple(f"phase.{stage.name}.{phase.id}" for phase in stage.phases)
    unit = f"seconds.{stage.name}"
    yield Term(
        id=f"hours.{stage.name}", label=f"hours of stage {stage.name}", value=stage.hours.p50, unit="h",
        formula=f"{stage.units:,.0f} × seconds per {stage.unit} + waste", inputs=(unit, f"waste.{stage.name}"),
    )  # fmt: skip
    yield Term(
        id=unit, label=f"seconds per {stage.unit}", value=stage.seconds_per_unit.p50, unit="s",
        formula="exposed seconds of the phases", inputs=phases,
    )  # fmt: skip
    waste = " + ".join(f"{name} {hours:.2g}" for name, hours in stage.waste_hours.items())
    yield Term(
        id=f"waste.{stage.name}", label="start-up and waste", value=sum(stage.waste_hours.values()), unit="h",
        formula=waste,
    )  # fmt: skip
    if stage.idle is not None:
        yield Term(
            id=f"idle.{stage.name}", label="GPUs wait for the sandbox fleet", value=stage.idle.usd, unit="USD",
            formula=f"{stage.idle.gpu_hours:,.4g} GPU-hours × the GPUs' price", source=stage.idle.reason,
        )  # fmt: skip
    for phase in stage.phases:
        parts = ", ".join(f"{name} {seconds:.3g} s" for name, seconds in phase.parts.items())
        yield Term(
            id=f"phase.{stage.name}.{phase.id}", label=phase.name, value=phase.seconds, unit="s",
            formula=parts, source=f"bound by {phase.bound_by}",
        )  # fmt: skip


def _of_line(line: Line) -> Iterator[Term]:
    price = f"{line.id}.price"
    yield Term(
        id=line.id, label=line.name, value=line.usd, unit="USD", formula=f"{line.quantity:,.6g} {line.unit} × price",
        inputs=(price,),
    )  # fmt: skip
    dated = f", {line.as_of}" if line.as_of else ""
    yield Term(
        id=price, label=f"price of {line.name}", value=line.usd_per_unit, unit=f"USD per {line.unit}",
        source=f"{line.source}{dated}" if line.source else "no price is known",
    )  # fmt: skip


def _of_pool(pool: Pool) -> Term:
    dated = f", {pool.price_as_of}" if pool.price_as_of else ""
    return Term(
        id=pool.id, label=f"{pool.role}: {pool.nodes:,} × {pool.instance_type}", value=pool.usd, unit="USD",
        formula=f"{pool.nodes:,} nodes × {pool.hours:.4g} h × price",
        source=f"{pool.price_source}{dated}" if pool.price_source else "no price is known",
    )  # fmt: skip
