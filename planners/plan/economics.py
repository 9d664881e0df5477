"""Dollars per outcome, and the break-even against what an outcome is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planners.plan.value import Economics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.demand.needs import Demand
    from planners.spec.fleet import Economics as Worth

PER = {
    "rewarded samples": ("per 1,000 rewarded samples", 1000.0),
    "accepted items": ("per accepted item", 1.0),
    "solved tasks": ("per solved task", 1.0),
    "attempts": ("per attempt", 1.0),
    "samples": ("per evaluated sample", 1.0),
    "million tokens": ("per million tokens", 1.0),
    "labelled samples": ("per 1,000 labelled samples", 1000.0),
}


def economics(demands: Sequence[Demand], usd_by_stage: Sequence[float], worth: Worth) -> tuple[Economics, ...]:
    """Unit economics of every stage, dollars per feature, and how many outcomes pay for the run.

    Dollars are those of the stage alone; the break-even uses the whole run.  Formula of each in its `formula`.
    """
    rows = []
    solved = None
    for demand, usd in zip(demands, usd_by_stage, strict=True):
        for outcome, count in demand.outcomes.items():
            name, per = PER[outcome]
            if count <= 0:
                continue
            text = f"${usd:,.2f} of stage {demand.stage} / {count:,.0f} {outcome}" + (
                f" × {per:,.0f}" if per > 1 else ""
            )
            rows.append(Economics(name=f"{demand.stage}: {name}", usd=usd / count * per, formula=text))
            if outcome == "solved tasks":
                solved = usd / count
    if solved is not None and worth.tasks_per_feature:
        tasks = worth.tasks_per_feature
        rows.append(Economics(name="per feature", usd=solved * tasks, formula=f"${solved:,.2f} × {tasks} solved tasks"))
    if worth.usd_per_outcome:
        total = sum(usd_by_stage)
        count = total / worth.usd_per_outcome
        rows.append(
            Economics(
                name=f"break-even: {count:,.1f} × {worth.outcome}",
                usd=worth.usd_per_outcome,
                formula=f"${total:,.2f} of the run / ${worth.usd_per_outcome:,.2f} per {worth.outcome}",
            )
        )
    return tuple(rows)
