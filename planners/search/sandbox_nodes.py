"""Which CPU machines hold the sandboxes: for a number of slots, the cheapest way to have them in each place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from planners.physics.columns import Array
from planners.physics.sandbox_times import slots_per_node
from planners.search.offers import PRICED, UNKNOWN_SANDBOX_PRICE, cheapest_zone, matches, may_be_bought, place_rules
from planners.search.pareto import ranked_usd
from planners.search.rejections import Rejections
from planners.spec.fleet import FleetSpec
from planners.workload.stage_work import SandboxWork


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlaces:
    """Offer, nodes and dollars for each place (cloud, region) and number of slots: shape (places, slot_counts)."""

    places: dict[tuple[str, str], int]
    offers: pl.DataFrame
    """Sandbox offers with a column `slots` (per node)."""
    offer: NDArray[np.int64]
    nodes: Array
    usd_per_hour: Array
    """Infinite where no offer has as many slots; 0 where the price is unknown."""
    unpriced: Array
    """1 where the price is unknown, else 0."""

    @property
    def cheapest(self) -> int:
        """The place that serves most numbers of slots, and of those the cheapest: for GPUs without one beside them."""
        served = np.isfinite(self.usd_per_hour)
        usd = np.where(served, ranked_usd(self.usd_per_hour, self.unpriced), 0.0).sum(axis=1)
        return int(np.lexsort((usd, -served.sum(axis=1)))[0])


def sandbox_offers(offers: pl.DataFrame, fleet: FleetSpec, work: SandboxWork, rejections: Rejections) -> pl.DataFrame:
    """CPU offers that the spec allows, with `slots` per node; machines too small for one sandbox are rejected."""
    targets = list(fleet.sandbox.targets or fleet.targets)
    capacities = [str(capacity) for capacity in fleet.sandbox.capacity]
    rules = [
        ("sandbox cloud", "not among the targets", pl.col("cloud").is_in(targets)),
        ("sandbox capacity type", f"not among {', '.join(capacities)}", may_be_bought(capacities)),
        ("sandbox architecture", "images are built for x86-64", pl.col("arch") == "x86_64"),
        *((f"sandbox {rule}", reason, keep) for rule, reason, keep in place_rules(fleet)),
    ]
    if fleet.sandbox.instance_types:
        named = matches("instance_type", fleet.sandbox.instance_types)
        rules.append(("sandbox instance type", "not among sandbox.instance_types", named))
    rules.append((UNKNOWN_SANDBOX_PRICE, "the price book has no price", PRICED))
    for rule, reason, keep in rules:
        offers = rejections.offers(offers, rule, reason, keep)
    slots = slots_per_node(
        vcpus=offers["vcpus"].to_numpy(),
        memory_gib=offers["memory_gib"].to_numpy(),
        cpus=work.cpus,
        sandbox_memory_gib=work.memory_gib,
        max_per_node=work.max_per_node,
    )
    sized = offers.with_columns(pl.Series("slots", slots.tolist(), dtype=pl.Float64))
    need = f"{work.cpus:g} vCPU and {work.memory_gib:g} GiB"
    fitting = rejections.offers(sized, "sandbox size", f"no room for one sandbox of {need}", pl.col("slots") >= 1)
    return cheapest_zone(fitting)


def place_sandboxes(offers: pl.DataFrame, slot_counts: Array, max_nodes: Array) -> SandboxPlaces:
    """The cheapest offer and its nodes for each place and each number of slots (ascending or not).

    nodes = ceil(slots / slots per node), at most `max_nodes` of each offer (infinite dollars where no offer of a place
    has as many); cost = nodes × price; machines of unknown price are taken only where no other is.
    """
    places: dict[tuple[str, str], int] = {}
    keys = list(zip(offers["cloud"].to_list(), offers["region"].to_list(), strict=True))
    place = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
    slots = offers["slots"].to_numpy()
    price = offers["usd_per_hour"].fill_null(0.0).to_numpy()
    unknown = offers["usd_per_hour"].is_null().cast(pl.Float64).to_numpy()
    shape = (len(places), len(slot_counts))
    best = np.zeros(shape, dtype=np.int64)
    nodes, usd, unpriced = np.zeros(shape), np.full(shape, np.inf), np.zeros(shape)
    wanted = np.ceil(slot_counts[None, :] / slots[:, None]) if keys else np.empty((0, len(slot_counts)))
    cost = np.where(wanted <= max_nodes[:, None], wanted * price[:, None], np.inf) if keys else wanted
    for index in range(len(places)):
        rows = np.flatnonzero(place == index)
        winner = rows[np.argmin(ranked_usd(cost[rows], unknown[rows, None]), axis=0)]
        best[index] = winner
        nodes[index] = wanted[winner, np.arange(len(slot_counts))]
        usd[index] = cost[winner, np.arange(len(slot_counts))]
        unpriced[index] = unknown[winner]
    return SandboxPlaces(places=places, offers=offers, offer=best, nodes=nodes, usd_per_hour=usd, unpriced=unpriced)
