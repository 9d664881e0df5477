"""Where every number of a plan comes from: a graph of terms, each with formula, inputs and source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from planners.physics.calibration import Calibration
from planners.plan.cost_lines import EstimateLine
from planners.plan.options import ChosenStage
from planners.plan.plan_rows import Term
from planners.plan.stage_terms import Terms, stage_terms
from planners.plan.value import Line, Plan, Pool, StagePlan


def terms_of(plan: Plan, stages: Sequence[ChosenStage], calibration: Calibration) -> dict[str, Term]:
    """The terms behind every number of a plan: stages, headline numbers, the bill, the pools, the unit costs."""
    terms = Terms()
    for stage_plan, stage in zip(plan.stages, stages, strict=True):
        stage_terms(terms, stage_plan, stage, calibration)
    ids = [f"hours.{stage_plan.name}" for stage_plan in plan.stages]
    terms.add("hours", "hours of the run", plan.hours.p50, "hours", formula="stages, one after the other", inputs=ids)
    costs = [line for stage in stages for line in stage.lines]
    ids = [_line(terms, line, cost) for line, cost in zip(plan.lines, costs, strict=True)]
    label, formula = "dollars of the run", "sum of the lines of the bill"
    if plan.at_least:
        label, formula = f"{label}, at least", f"{formula} that have a price"
    usd = plan.usd.p50 if plan.usd.p50 or not plan.at_least else None
    terms.add("usd", label, usd, "USD", formula=formula, inputs=ids)
    for pool in plan.pools:
        _pool(terms, pool)
    for cost in plan.economics:
        stage_name = cost.name.partition(": ")[0]
        ids = [line.id for line in plan.lines if line.stage == stage_name] or ["usd"]
        identity = "usd." + re.sub(r"[^a-z0-9]+", "_", cost.name.lower()).strip("_")
        label = f"{cost.name}, at least" if cost.at_least else cost.name
        terms.add(identity, label, cost.usd, "USD", formula=cost.formula, inputs=ids)
    for stage_plan in plan.stages:
        _idle(terms, stage_plan, plan.pools)
    return terms.by_id


def _line(terms: Terms, line: Line, cost: EstimateLine) -> str:
    """A line of the bill: quantity × price, with where the quantity comes from and the price's source and date."""
    source, unit = _dated(line.source, line.as_of), f"USD per {line.unit}"
    price = terms.add(f"{line.id}.price", f"price of {line.name}", line.usd_per_unit, unit, source=source)
    hours = [f"hours.{line.stage}"] if cost.scales_with_hours else []
    quantity = f"{line.id}.quantity"
    terms.add(quantity, line.unit, line.quantity, line.unit, formula=cost.amount, inputs=hours)
    return terms.add(line.id, line.name, line.usd, "USD", formula="quantity × price", inputs=(quantity, price))


def _pool(terms: Terms, pool: Pool) -> None:
    """A pool: nodes, which the search chose, at a price."""
    nodes, price, kind = f"{pool.id}.nodes", f"{pool.id}.price", pool.instance_type
    source = _dated(pool.price_source, pool.price_as_of)
    terms.add(nodes, f"{kind} nodes", float(pool.nodes), "nodes", source="chosen by the search")
    terms.add(price, f"price of {kind}", pool.usd_per_node_hour, "USD/hour", source=source)
    inputs = (nodes, price, f"hours.{pool.stage}")
    terms.add(pool.id, f"{pool.role} pool", pool.usd, "USD", formula="nodes × hours × price", inputs=inputs)


def _dated(source: str, as_of: date | None) -> str:
    return f"{source}, {as_of:%Y-%m-%d}" if as_of else source


def _idle(terms: Terms, plan: StagePlan, pools: Sequence[Pool]) -> None:
    """What the sandbox fleet costs in GPU time, from the seconds of a unit and the price of a GPU node."""
    pool = next((pool for pool in pools if pool.stage == plan.name and pool.gpu), None)
    if plan.idle is None or pool is None:
        return
    gpus, kind, source = f"{pool.id}.gpus_per_node", pool.instance_type, pool.price_source
    terms.add(gpus, f"GPUs of {kind}", float(pool.gpus_per_node), "GPUs", source=source)
    waited = terms.add(
        f"idle.{plan.name}.gpu_hours",
        "GPU-hours that wait for the sandboxes",
        plan.idle.gpu_hours,
        "GPU-hours",
        formula="GPUs × (seconds per unit - the same if sandboxes cost no time) × units / 3600",
        inputs=(f"unit.{plan.name}", f"units.{plan.name}"),
    )
    terms.add(
        f"idle.{plan.name}",
        f"GPU time of {plan.name} that waits for the sandboxes",
        plan.idle.usd,
        "USD",
        formula="GPU-hours × price of a node / its GPUs",
        inputs=(waited, f"{pool.id}.price", gpus),
    )
