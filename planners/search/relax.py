"""Asked for something infeasible: what is the least change to the fleet that makes it feasible?"""

from __future__ import annotations

from typing import Any

import numpy as np

from planners.domain import CapacityType
from planners.inputs import PlanInputs
from planners.search.search import SearchResult, explore
from planners.search.selection import NoFleetError, choose, run_usd
from planners.spec.run_spec import RunSpec

MOST_GPUS = 32_768
"""Largest fleet that is tried when the number of GPUs is what stands in the way."""
RELAXATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("any region", {"regions": ()}),
    ("any instance type", {"instance_types": (), "exclude": ()}),
    ("any number of nodes", {"nodes": None, "max_gpus": MOST_GPUS}),
    ("a larger quota", {"quota": {}}),
    ("any GPU", {"gpus": ()}),
    ("every capacity type", {"capacity": tuple(CapacityType)}),
    ("every cloud", {"targets": ("aws", "gcp", "azure")}),
    ("any GPU in any region, in any number", {
        "gpus": (), "regions": (), "instance_types": (), "exclude": (), "nodes": None, "max_gpus": MOST_GPUS,
        "quota": {},
    }),
)  # fmt: skip
"""Changes to `fleet` that are tried in turn, the smallest first."""


def nearest(spec: RunSpec, world: PlanInputs, found: SearchResult, *, year: float) -> str:
    """What would make the spec feasible, with the fleet that it then gets; else which rules rejected most."""
    if spec.limits.usd_per_hour is not None:
        unlimited = spec.model_copy(update={"limits": spec.limits.model_copy(update={"usd_per_hour": None})})
        burn = _least_burn(explore(unlimited, world, year=year))
        if burn is not None and burn > spec.limits.usd_per_hour:
            enough = f"${np.ceil(100.0 * burn) / 100.0:,.2f}"
            return f"with limits.usd_per_hour of {enough} there is one: the fleet that burns least per hour"
    for words, change in RELAXATIONS:
        fleet = spec.fleet.model_copy(update=change)
        if fleet == spec.fleet:
            continue
        limits = spec.limits.model_copy(update={"gpus": None} if "max_gpus" in change else {})
        relaxed = spec.model_copy(update={"fleet": fleet, "limits": limits})
        other = explore(relaxed, world, year=year)
        try:
            row = int(choose(relaxed, other).rows[0])
        except NoFleetError:
            continue
        return f"with {words} there is one: {_named(other, row)}"
    reasons = sorted(found.rejections.rejected, key=lambda r: -r.count)[:3]
    return "; ".join(f"{r.rule}: {r.reason} ({r.count:,})" for r in reasons) or "no offer matches the fleet"


def _least_burn(found: SearchResult) -> float | None:
    """Dollars per hour of the fleet that burns least: stages on GPUs share an offer, and follow each other."""
    free = [float(s.rows.usd_per_hour.min(initial=np.inf)) for s in found.stages if not s.work.needs_gpus]
    offers = np.zeros(found.offers.height)
    for stage in found.stages:
        if stage.work.needs_gpus:
            least = np.full(len(offers), np.inf)
            np.minimum.at(least, stage.rows.offer, stage.rows.usd_per_hour)
            offers = np.maximum(offers, least)
    burn = max([*free, *([float(offers.min())] if len(offers) else [])], default=float("inf"))
    return burn if np.isfinite(burn) else None


def _named(found: SearchResult, row: int) -> str:
    runs = found.runs
    money = f"{run_usd(runs, row)} in {runs.hours[row]:,.1f} hours"
    if runs.offer[row] < 0:
        return money
    offer = found.offers.row(int(runs.offer[row]), named=True)
    nodes = max(int(s.candidates.nodes[s.rows.candidate[r]]) for s, r in zip(found.stages, runs.rows[row], strict=True))
    return (
        f"{nodes} × {offer['instance_type']} in {offer['cloud']} {offer['region']}, {offer['capacity_type']}, {money}"
    )
