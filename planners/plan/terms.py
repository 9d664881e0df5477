"""Where every number of a plan comes from: a graph of terms, each with formula, inputs and source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.physics.constants import PRIORS
from planners.plan.value import Term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.money.lines import CostLine
    from planners.physics.constants import Constants
    from planners.plan.value import Line, Pool, StagePlan

ACCURACY = "fitted on published runs, docs/ACCURACY.md"


class Terms:
    """Collects terms; an id is written once."""

    def __init__(self) -> None:
        self.by_id: dict[str, Term] = {}

    def add(
        self,
        identity: str,
        label: str,
        value: float | str | None,
        unit: str,
        *,
        formula: str = "",
        source: str = "",
        inputs: Sequence[str] = (),
    ) -> str:
        """Records a term and returns its id.  A value that is not finite is recorded as unknown."""
        if isinstance(value, float) and not np.isfinite(value):
            value = None
        self.by_id.setdefault(
            identity,
            Term(
                id=identity, label=label, value=value, unit=unit, formula=formula, source=source, inputs=tuple(inputs)
            ),
        )
        return identity

    def constants(self, names: Sequence[str], constants: Constants) -> list[str]:
        """Terms of fitted constants."""
        priors = {prior.name: prior for prior in PRIORS}
        return [
            self.add(
                f"constant.{name}",
                priors[name].meaning,
                float(getattr(constants, name)),
                priors[name].unit,
                source=ACCURACY if priors[name].fitted else f"held ({priors[name].source}); docs/ACCURACY.md",
            )
            for name in names
        ]


def line_terms(terms: Terms, line: Line, cost: CostLine) -> str:
    """A line of the bill: quantity × price, with where the quantity comes from and the price's source and date."""
    dated = f"{line.source}, {line.as_of:%Y-%m-%d}" if line.as_of else line.source
    price = terms.add(
        f"{line.id}.price", f"price of {line.name}", line.usd_per_unit, f"USD per {line.unit}", source=dated
    )
    quantity = terms.add(
        f"{line.id}.quantity",
        line.unit,
        line.quantity,
        line.unit,
        formula=cost.amount,
        inputs=(f"hours.{line.stage}",) if cost.scales_with_hours else (),
    )
    return terms.add(line.id, line.name, line.usd, "USD", formula="quantity × price", inputs=(quantity, price))


def pool_terms(terms: Terms, pool: Pool) -> str:
    """A pool: nodes, which the search chose, at a price."""
    dated = f"{pool.price_source}, {pool.price_as_of:%Y-%m-%d}" if pool.price_as_of else pool.price_source
    nodes = terms.add(
        f"{pool.id}.nodes", f"{pool.instance_type} nodes", float(pool.nodes), "nodes", source="chosen by the search"
    )
    price = terms.add(
        f"{pool.id}.price", f"price of {pool.instance_type}", pool.usd_per_node_hour, "USD/hour", source=dated
    )
    return terms.add(
        pool.id,
        f"{pool.role} pool",
        pool.usd,
        "USD",
        formula="nodes × hours × price",
        inputs=(nodes, price, f"hours.{pool.stage}"),
    )


def idle_terms(terms: Terms, plan: StagePlan, pools: Sequence[Pool]) -> None:
    """What the sandbox fleet costs in GPU time, from the seconds of a unit and the price of a GPU node."""
    gpus = next((pool for pool in pools if pool.stage == plan.name and pool.gpu), None)
    if plan.idle is None or gpus is None:
        return
    each = terms.add(
        f"{gpus.id}.gpus_per_node",
        f"GPUs of {gpus.instance_type}",
        float(gpus.gpus_per_node),
        "GPUs",
        source=gpus.price_source,
    )
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
        inputs=(waited, f"{gpus.id}.price", each),
    )


def run_terms(
    terms: Terms,
    *,
    plans: Sequence[StagePlan],
    lines: Sequence[Line],
    costs: Sequence[CostLine],
    pools: Sequence[Pool],
    hours: float,
    usd: float,
) -> None:
    """The two headline numbers, the bill (`lines` are `costs` with an id, in the same order) and the pools."""
    ids = [f"hours.{plan.name}" for plan in plans]
    terms.add("hours", "hours of the run", hours, "hours", formula="stages, one after the other", inputs=ids)
    line_ids = [line_terms(terms, line, cost) for line, cost in zip(lines, costs, strict=True)]
    terms.add("usd", "dollars of the run", usd, "USD", formula="sum of the lines of the bill", inputs=line_ids)
    for pool in pools:
        pool_terms(terms, pool)
    for plan in plans:
        idle_terms(terms, plan, pools)
