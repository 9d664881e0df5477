"""Asked for something infeasible: what is the least change to the fleet that makes it feasible?"""

from __future__ import annotations

from typing import Any

import numpy as np

from planners.domain import CapacityType
from planners.inputs import PlanInputs
from planners.search.combine import NEAR_EQUAL
from planners.search.feasible import MEMORY
from planners.search.limits_kept import decides, gain, usd_and_hours
from planners.search.pricing import BURN_RULE
from planners.search.search import SearchResult, explore
from planners.search.selection import NoFleetError, best_inside, choose
from planners.spec.fleet import NodeCount
from planners.spec.run_spec import RunSpec, Stage

MOST_GPUS = 32_768
"""Largest fleet that is tried when the number of GPUs is what stands in the way."""
ANY_NUMBER = {"nodes": None, "num_gpus": None, "max_gpus": MOST_GPUS}
RELAXATIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("fleet.sandbox.targets of every cloud", {"sandbox": None}),
    ("any region", {"regions": ()}),
    ("any instance type", {"instance_types": (), "exclude": ()}),
    ("any number of nodes", ANY_NUMBER),
    ("a larger quota", {"quota": {}}),
    ("every capacity type", {"capacity": tuple(CapacityType)}),
    ("every cloud of the price book", {"targets": None}),
    ("any GPU", {"gpus": ()}),
    (
        "any GPU in any region, in any number",
        ANY_NUMBER | {"gpus": (), "regions": (), "instance_types": (), "exclude": (), "quota": {}},
    ),
)
"""Changes to `fleet` that are tried in turn, the smallest first."""
LIGHTER: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("rollout.tp {tp:g}", "rollout", {"tp": None}),
    ("rollout.precision fp8", "rollout", {"precision": "fp8"}),
    (
        "another layout of the trainer",
        "train",
        {"sharding": "auto", "tp": None, "pp": None, "ep": None, "recompute": "auto"},
    ),
    ("train.micro_batch_samples 1", "train", {"micro_batch_samples": 1}),
    ("train.optimizer_offload", "train", {"optimizer_offload": True}),
    ("schedule disaggregated", "", {"schedule": "disaggregated", "staleness_steps": 0}),
)
"""What needs less memory, by section of a stage (empty: the stage) and fields; all are tried where memory lacks."""


def nearest(spec: RunSpec, world: PlanInputs, found: SearchResult, *, year: float) -> str:
    """What would make the spec feasible, with the fleet that it then gets; else which rules rejected most."""
    if spec.limits.usd_per_hour is not None:
        unlimited = spec.model_copy(update={"limits": spec.limits.model_copy(update={"usd_per_hour": None})})
        burn = _least_burn(explore(unlimited, world, year=year))
        if burn is not None and burn > spec.limits.usd_per_hour:
            enough = f"${np.ceil(100.0 * burn) / 100.0:,.2f}"
            return f"with limits.usd_per_hour of {enough} there is one: the fleet that burns least per hour"
    full = [stage for stage in found.stages if stage.work.needs_gpus and not len(stage.candidates.layouts)]
    reasons = [row for row in found.rejections.rejected if full and row.rule.endswith(MEMORY) and not row.left]
    said = [f"{row.rule}: {row.reason}" for row in reasons]
    for words, section, change in LIGHTER if reasons else ():
        stages = tuple(_with_section(stage, section, change) for stage in spec.stages)
        said += _tried(spec.model_copy(update={"stages": stages}), spec, words, world, year=year)
    said += _fewest_nodes(spec, world, year=year) if reasons else []
    if len(said) > len(reasons):
        return "; ".join(said)
    said += _no_whole_nodes(spec, found)
    said += [f"{row.rule}: {row.reason}" for row in found.rejections.rejected if not row.left and row not in reasons][
        :1
    ]
    clouds = tuple(dict.fromkeys((*spec.fleet.targets, *world.gpu_offers["cloud"].unique().sort().to_list())))
    for words, change in RELAXATIONS:
        every: dict[str, Any] = {"targets": clouds} if "targets" in change else {}
        if "sandbox" in change:
            every = {"sandbox": spec.fleet.sandbox.model_copy(update={"targets": clouds})}
        feasible = _tried(_with_fleet(spec, change | every), spec, words, world, year=year)
        if feasible:
            return "; ".join(said + feasible)
    most = sorted(found.rejections.rejected, key=lambda row: -row.count)[:3]
    said = said or [f"{row.rule}: {row.reason} ({row.count:,})" for row in most]
    return "; ".join(said) or "no offer matches the fleet"


def _no_whole_nodes(spec: RunSpec, found: SearchResult) -> list[str]:
    """That an exact number of GPUs is no whole number of nodes over which a model may be spread, in words."""
    wanted = spec.fleet.num_gpus
    sizes = sorted({machine.gpus_per_node for machine in found.machines if machine.shards})
    if wanted is None or not sizes or any(wanted % size == 0 for size in sizes):
        return []
    return [f"{wanted} GPUs are no whole number of nodes of {' or '.join(map(str, sizes))} GPUs"]


def _with_section(stage: Stage, section: str, change: dict[str, Any]) -> Stage:
    """A stage with some of its fields, or those of its `train` or `rollout`, changed, as far as it has them."""
    if not section:
        return stage.model_copy(update=change) if "schedule" in type(stage).model_fields else stage
    options = getattr(stage, section, None)
    return stage if options is None else stage.model_copy(update={section: options.model_copy(update=change)})


def _with_fleet(spec: RunSpec, change: dict[str, Any]) -> RunSpec:
    """The spec with some fields of its fleet changed; `limits.gpus` goes where the number of GPUs is free."""
    limits = spec.limits.model_copy(update={"gpus": None} if "max_gpus" in change else {})
    return spec.model_copy(update={"fleet": spec.fleet.model_copy(update=change), "limits": limits})


def _fewest_nodes(spec: RunSpec, world: PlanInputs, *, year: float) -> list[str]:
    """The smallest fleet of the same machines whose memory holds the spec, in words; empty where there is none."""
    found = explore(_with_fleet(spec, ANY_NUMBER), world, year=year)
    nodes = [int(stage.candidates.nodes.min(initial=MOST_GPUS)) for stage in found.stages if stage.work.needs_gpus]
    words = f"{max(nodes)} node" + ("" if max(nodes) == 1 else "s")
    relaxed = _with_fleet(spec, ANY_NUMBER | {"nodes": NodeCount(min=max(nodes), max=max(nodes))})
    return _tried(relaxed, spec, words, world, year=year)


def _tried(relaxed: RunSpec, spec: RunSpec, words: str, world: PlanInputs, *, year: float) -> list[str]:
    """The fleet that the relaxed spec gets, in words; empty where it gets none or is the spec itself."""
    if relaxed == spec:
        return []
    other = explore(relaxed, world, year=year)
    try:
        row = int(choose(relaxed, other).rows[0])
    except NoFleetError:
        return []
    return [f"with {words.format(tp=_replica(other, row))} there is one: {_named(other, row)}"]


def deciding_fleet_limits(spec: RunSpec, world: PlanInputs, found: SearchResult, *, year: float) -> tuple[str, ...]:
    """The limits on GPUs and on dollars per hour without which a better run would be first, and that run, in words."""
    limits, best = spec.limits, int(best_inside(spec, found)[0])
    burns = any(row.rule == BURN_RULE for row in found.rejections.rejected)
    shown = {
        "usd_per_hour": f"limits.usd_per_hour of ${limits.usd_per_hour or 0:,.10g}" if burns else "",
        "gpus": f"limits.gpus of {limits.gpus}" if limits.gpus and 2 * found.gpus[best] > limits.gpus else "",
    }
    rows = []
    for name, text in shown.items():
        if text:
            freed = spec.model_copy(update={"limits": limits.model_copy(update={name: None})})
            other = explore(freed, world, year=year)
            row = int(best_inside(spec, other)[0])
            if gain(spec.objective, (other.runs, row), (found.runs, best)) > NEAR_EQUAL:
                rows.append(decides(text, other, row))
    return tuple(rows)


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
    money = usd_and_hours(runs, row)
    if runs.offer[row] < 0:
        return money
    offer = found.offers.row(int(runs.offer[row]), named=True)
    nodes = max(int(s.candidates.nodes[s.rows.candidate[r]]) for s, r in zip(found.stages, runs.rows[row], strict=True))
    machines = f"{nodes} × {offer['instance_type']} in {offer['cloud']} {offer['region']}"
    return f"{machines}, {offer['capacity_type']}, {money}"


def _replica(found: SearchResult, run: int) -> float:
    """GPUs per replica of the first stage that generates; 1 without."""
    for stage, row in zip(found.stages, found.runs.rows[run], strict=True):
        if stage.work.generations:
            return float(stage.candidates.layouts.replica[stage.candidates.layout[stage.rows.candidate[row]]])
    return 1.0
