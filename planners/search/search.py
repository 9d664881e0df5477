"""The search of a whole spec: allowed offers, candidates of every stage, priced rows, whole runs, the front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from planners.domain import GpuSpec
from planners.inputs import PlanInputs
from planners.physics.columns import Array
from planners.remembered import remembered
from planners.search.availability import MOST_GPUS, sold_offers, with_list_prices
from planners.search.candidates import Candidates, stage_candidates
from planners.search.combine import Runs, combine
from planners.search.machines import MAX_NODES, MOST_GPUS_PER_NODE, MachineKind, machines_of
from planners.search.node_counts import NodeRange
from planners.search.offers import gpu_offers, owned_nodes, owned_offers
from planners.search.own_prices import RESERVATION, RESERVED, apply_own_prices, reserved_nodes
from planners.search.pricing import Market, Rows, price_rows, start_up_hours, within
from planners.search.rejections import Rejected, Rejections
from planners.search.sandbox_nodes import SandboxPlaces, place_sandboxes, sandbox_offers
from planners.spec.fleet import FleetSpec, OwnPrices
from planners.spec.run_spec import RunSpec
from planners.workload.stage_builder import stage_work
from planners.workload.stage_work import SandboxWork, StageWork

DEFAULT_MAX_GPUS = 2048
"""Largest fleet that is tried when the spec names no limit, quota or number of nodes.  Assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSearch:
    """One stage, searched."""

    work: StageWork
    candidates: Candidates
    places: SandboxPlaces | None
    rows: Rows
    combinations: int
    """Compared, dominated layouts included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """Everything that the search found."""

    offers: pl.DataFrame
    """GPU offers that are allowed, with a column `machine`; empty when no stage rents GPUs."""
    machines: list[MachineKind]
    stages: tuple[StageSearch, ...]
    runs: Runs
    """Before limits on dollars and hours."""
    combinations: int
    rejections: Rejections

    @property
    def gpus(self) -> Array:
        """GPUs of each run: of its largest stage."""
        each = [stage.rows.gpus[self.runs.rows[:, number]] for number, stage in enumerate(self.stages)]
        return np.asarray(np.max(each, axis=0, initial=0.0))

    @property
    def has_reservations(self) -> bool:
        """Whether nodes are paid anyway: the dollars of runs leave them out."""
        return bool(self.offers.height) and bool(self.offers.select(RESERVATION.any()).item())

    @property
    def sold_today(self) -> NDArray[np.bool_]:
        """Which runs ask for no more GPUs than are sold without a reservation or a quote."""
        if not self.offers.height:
            return np.ones(len(self.runs.offer), dtype=bool)
        most = self.offers[MOST_GPUS].to_numpy()
        return np.asarray(self.gpus <= most[self.runs.offer])

    def by_cloud(self, runs: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """These runs by the cloud of their GPUs, sorted; empty where none are rented."""
        if not self.offers.height:
            return {}
        clouds = np.array(self.offers["cloud"].to_list())[self.runs.offer[runs]]
        return {str(cloud): runs[clouds == cloud] for cloud in sorted(set(clouds.tolist()))}


def explore(spec: RunSpec, world: PlanInputs, *, year: float) -> SearchResult:
    """Everything that could run `spec` within its fleet, quota and burn limit; dollars and hours are limited later."""
    rejections = Rejections()
    works = [
        stage_work(stage, world.find_model, starts=world.sandbox_starts, factors=world.factors) for stage in spec.stages
    ]
    offers, machines, rejected = _allowed_machines(
        spec.fleet,
        spec.prices,
        needed=any(work.needs_gpus for work in works),
        listed=world.gpu_offers,
        availability=world.availability,
        gpus=world.gpus,
        find_gpu=world.find_gpu,
    )
    rejections.rejected += rejected
    cpus = _cpu_offers(spec.fleet, spec.prices, world.cpu_offers)
    stages = [
        _stage(work, spec, world, offers=offers, machines=machines, cpus=cpus, year=year, rejections=rejections)
        for work in works
    ]
    keys = [stage.rows.offer if stage.work.needs_gpus else None for stage in stages]
    return SearchResult(
        offers=offers,
        machines=machines,
        stages=tuple(stages),
        runs=combine([stage.rows for stage in stages], keys),
        combinations=sum(stage.combinations for stage in stages),
        rejections=rejections,
    )


def _stage(
    work: StageWork,
    spec: RunSpec,
    world: PlanInputs,
    *,
    offers: pl.DataFrame,
    machines: list[MachineKind],
    cpus: pl.DataFrame,
    year: float,
    rejections: Rejections,
) -> StageSearch:
    """One stage on everything."""
    allowed = _node_range(spec, world)
    constants = world.calibration.constants
    frame, rejected = _sandbox_offers(cpus, spec.fleet, work.sandbox_work)
    rejections.rejected += rejected
    most = _most_nodes(frame, spec)
    slots = (most * frame["slots"].to_numpy()) if work.sandbox_work else most
    owned_slots = slots[np.isfinite(slots)].tolist()
    candidates = stage_candidates(
        work, machines, allowed, constants, year=year, rejections=rejections, owned_slots=owned_slots
    )
    places = place_sandboxes(frame, candidates.slot_counts, most) if work.sandbox_work else None
    market = _market(work, offers, places, spec)
    rows = price_rows(candidates, market, places)
    compared = len(rows.offer)
    if machines:
        per_machine = np.bincount(market.machine[market.machine >= 0], minlength=len(machines))
        layouts = np.bincount(candidates.compared.clip(0), minlength=len(machines))
        compared = int((per_machine * layouts[: len(machines)]).sum()) * len(candidates.slot_counts)
    rows = within(rows, rejections, max_usd_per_hour=spec.limits.usd_per_hour, name=work.stage)
    return StageSearch(work=work, candidates=candidates, places=places, rows=rows, combinations=compared)


@remembered(8)
def _allowed_machines(
    fleet: FleetSpec,
    prices: OwnPrices,
    *,
    needed: bool,
    listed: pl.DataFrame,
    availability: pl.DataFrame | None,
    gpus: Mapping[str, GpuSpec],
    find_gpu: Callable[[str], GpuSpec],
) -> tuple[pl.DataFrame, list[MachineKind], tuple[Rejected, ...]]:
    """GPU offers of the price book and of the user, own prices applied, fleet rules applied; their machines."""
    rejections = Rejections()
    own = owned_offers(fleet.machines, fleet.targets, with_gpus=True)
    own = own.with_columns(pl.Series("gpu", [find_gpu(name).name for name in own["gpu"]], dtype=pl.String))
    book = apply_own_prices(listed, prices)
    offers = pl.concat([book, own.select(book.columns)], how="vertical_relaxed")
    if not needed:
        none = offers.clear().with_columns(pl.lit(0.0).alias(MAX_NODES))
        return *machines_of(none, gpus), ()
    names = {find_gpu(name).name for name in fleet.gpus} or set(gpus)
    allowed = gpu_offers(offers, fleet, names, rejections)
    granted = {find_gpu(key.rpartition(":")[2]).name: limit for key, limit in fleet.quota.items()}
    sold = with_list_prices(sold_offers(allowed, availability, granted, rejections), book)
    return *machines_of(_with_max_nodes(sold, fleet, prices, find_gpu), gpus), tuple(rejections.rejected)


def _with_max_nodes(
    offers: pl.DataFrame, fleet: FleetSpec, prices: OwnPrices, find_gpu: Callable[[str], GpuSpec]
) -> pl.DataFrame:
    """The offers with the column MAX_NODES."""
    quota = {
        (key.split(":", 1)[0], find_gpu(key.split(":", 1)[1]).name): float(limit)
        for key, limit in fleet.quota.items()
        if ":" in key
    }
    owned = owned_nodes(fleet.machines, fleet.targets, with_gpus=True)
    reserved = reserved_nodes(prices)

    def most_nodes(offer: dict[str, Any]) -> float:
        cloud, kind = offer["cloud"], offer["instance_type"]
        there = owned.get((cloud, kind), np.inf)
        if offer["capacity_type"] == RESERVED:
            there = reserved.get((cloud, offer["region"], kind), np.inf)
        return float(min(there, quota.get((cloud, offer["gpu"]), np.inf) / offer["num_gpus"]))

    return offers.with_columns(pl.Series(MAX_NODES, map(most_nodes, offers.iter_rows(named=True)), dtype=pl.Float64))


@remembered(8)
def _cpu_offers(fleet: FleetSpec, prices: OwnPrices, listed: pl.DataFrame) -> pl.DataFrame:
    own = owned_offers(fleet.machines, _sandbox_targets(fleet), with_gpus=False)
    book = apply_own_prices(listed, prices)
    return pl.concat([book, own.select(book.columns)], how="vertical_relaxed")


@remembered(8)
def _sandbox_offers(
    cpus: pl.DataFrame, fleet: FleetSpec, work: SandboxWork | None
) -> tuple[pl.DataFrame, tuple[Rejected, ...]]:
    rejections = Rejections()
    frame = cpus.clear() if work is None else sandbox_offers(cpus, fleet, work, rejections)
    return frame, tuple(rejections.rejected)


def _sandbox_targets(fleet: FleetSpec) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*fleet.targets, *(fleet.sandbox.targets or ()))))


def _most_nodes(sandboxes: pl.DataFrame, spec: RunSpec) -> Array:
    """Nodes that there are of each sandbox offer: infinite in the clouds, but for reservations."""
    owned = owned_nodes(spec.fleet.machines, _sandbox_targets(spec.fleet), with_gpus=False)
    reserved = reserved_nodes(spec.prices)
    rows = sandboxes.select("cloud", "region", "instance_type", RESERVATION.alias("reserved")).rows()
    most = [reserved[row[:3]] if row[3] else owned.get((row[0], row[2]), np.inf) for row in rows]
    return np.array(most, dtype=np.float64)


def _node_range(spec: RunSpec, world: PlanInputs) -> NodeRange:
    """How many nodes may be tried: limits, quota by GPU, or the exact number that the spec states."""
    fleet = spec.fleet
    stated = [limit for limit in (fleet.max_gpus, spec.limits.gpus) if limit is not None]
    most = min(stated) if stated else max(DEFAULT_MAX_GPUS, fleet.num_gpus or 0)
    if fleet.nodes is not None and not stated:
        most = max(most, fleet.nodes.max * MOST_GPUS_PER_NODE)
    quota = {world.find_gpu(key).name: limit for key, limit in fleet.quota.items() if ":" not in key}
    nodes = fleet.nodes
    owned = owned_nodes(fleet.machines, fleet.targets, with_gpus=True).values()
    return NodeRange(
        max_gpus=most,
        num_gpus=fleet.num_gpus,
        min_nodes=nodes.min if nodes else 1,
        max_nodes=nodes.max if nodes else None,
        whole_pools=tuple({*(int(count) for count in owned), *reserved_nodes(spec.prices).values()}),
        quota_gpus=quota,
    )


def _market(work: StageWork, offers: pl.DataFrame, places: SandboxPlaces | None, spec: RunSpec) -> Market:
    """The offers as arrays for one stage.  A stage without GPUs gets one row per sandbox place."""
    known = places.places if places else {}
    if not work.needs_gpus:
        zeros = np.zeros(len(known))
        return Market(
            machine=np.full(len(known), -1, dtype=np.int64),
            usd_per_hour=zeros,
            spot=zeros,
            place=np.arange(len(known)),
            max_nodes=zeros + np.inf,
            sunk=zeros,
            start_up_hours=np.array([start_up_hours(cloud, work.host) for cloud, _ in known]),
        )
    anywhere = -1
    if spec.fleet.sandbox.targets is not None and places is not None and known:
        anywhere = places.cheapest
    homes = offers.select("cloud", "region").rows()
    return Market(
        machine=offers["machine"].to_numpy(),
        usd_per_hour=offers["usd_per_hour"].fill_null(np.nan).to_numpy(),
        spot=(offers["capacity_type"] == "spot").cast(pl.Float64).to_numpy(),
        place=np.array([known.get(home, anywhere) for home in homes], dtype=np.int64),
        sunk=offers.select(RESERVATION.cast(pl.Float64)).to_series().to_numpy(),
        max_nodes=offers[MAX_NODES].to_numpy(),
        start_up_hours=np.array([start_up_hours(cloud, None) for cloud, _ in homes]),
    )
