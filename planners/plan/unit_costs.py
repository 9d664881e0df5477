"""Dollars per outcome, and the break-even against what an outcome is worth."""

from __future__ import annotations

from collections.abc import Sequence

from planners.plan.cost_lines import EstimateLine, total_usd, unpriced_lines
from planners.plan.plan_rows import UnitCost
from planners.spec.fleet import OutcomeValue
from planners.workload.stage_work import StageWork

PER = {
    "rewarded samples": ("per 1,000 rewarded samples", 1000.0),
    "accepted items": ("per accepted item", 1.0),
    "solved tasks": ("per solved task", 1.0),
    "attempts": ("per attempt", 1.0),
    "samples": ("per evaluated sample", 1.0),
    "million tokens": ("per million tokens", 1.0),
    "preference pairs": ("per 1,000 preference pairs", 1000.0),
    "labelled samples": ("per 1,000 labelled samples", 1000.0),
}


def unit_costs(stages: Sequence[tuple[StageWork, float, bool]], worth: OutcomeValue) -> tuple[UnitCost, ...]:
    """Unit costs of every stage, dollars per feature, and how many outcomes pay for the run.

    stages: each with the dollars of what has a price, and whether something has none.  Dollars are those of the stage
    alone; the break-even uses the whole run, and is unknown where a price is.  Formula of each in its `formula`.
    """
    rows, features = [], []
    for work, usd, at_least in stages:
        for outcome, count in work.outcomes.items():
            if count <= 0:
                continue
            name, per = PER[outcome]
            formula = f"{_usd_text(usd, at_least)} of stage {work.stage} / {count:,.0f} {outcome}"
            formula += f" × {per:,.0f}" if per > 1 else ""
            rows.append(_unit_cost(f"{work.stage}: {name}", usd / count * per, at_least, formula))
            if outcome == "solved tasks" and worth.tasks_per_feature:
                solved, tasks = usd / count, worth.tasks_per_feature
                formula = f"{_usd_text(solved, at_least)} × {tasks} solved tasks"
                features = [_unit_cost("per feature", solved * tasks, at_least, formula)]
    rows += features
    if worth.usd_per_outcome:
        total, at_least = sum(usd for _, usd, _ in stages), any(at_least for *_, at_least in stages)
        needed = "unknown" if at_least else f"{total / worth.usd_per_outcome:,.1f}"
        formula = f"{_usd_text(total, at_least)} of the run / ${worth.usd_per_outcome:,.2f} per {worth.outcome}"
        name = f"break-even: {needed} × {worth.outcome}"
        rows.append(UnitCost(name=name, usd=worth.usd_per_outcome, formula=formula))
    return tuple(rows)


def beyond_reservations(lines: Sequence[EstimateLine]) -> tuple[UnitCost, ...]:
    """What the run costs besides the user's reservations, which are paid whether it runs or not."""
    if not any(line.sunk for line in lines):
        return ()
    added = [line for line in lines if not line.sunk]
    usd, at_least = total_usd(added), unpriced_lines(added) > 0
    formula = f"the bill without your reservations, which are paid anyway: {len(added)} of {len(lines)} lines"
    return (_unit_cost("marginal: beyond your reservations", usd, at_least, formula),)


def _unit_cost(name: str, usd: float, at_least: bool, formula: str) -> UnitCost:
    return UnitCost(name=name, usd=usd if usd or not at_least else None, at_least=at_least, formula=formula)


def _usd_text(usd: float, at_least: bool) -> str:
    """`$12.30`, `at least $12.30` or `unknown dollars`."""
    if at_least and not usd:
        return "unknown dollars"
    return f"{'at least ' if at_least else ''}${usd:,.2f}"
