"""Candidates × offers: dollars, hours and risk of every stage on everything that may be bought."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Array, Column
from planners.physics.overhead import OWN_START_UP_HOURS, START_UP_HOURS, Lost, lost_to_interruptions
from planners.search.candidates import Candidates
from planners.search.pareto import pair, ranked_usd
from planners.search.rejections import Rejections
from planners.search.sandbox_nodes import SandboxPlaces
from planners.spec.fleet import is_cloud
from planners.workload.layouts import Table
from planners.workload.stage_work import HostWork

BURN_RULE = "dollars per hour"
RESTART_HOURS = 0.25
"""From an interruption to the next useful step: detect, replace the node, load the checkpoint.  Assumption."""
CHECKPOINT_HOURS = 0.5
"""Between checkpoints, where nothing is stated.  Assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """GPU offers as arrays of shape (offers,).  A stage without GPUs has one row per place, machine -1, price 0."""

    machine: NDArray[np.int64]
    usd_per_hour: Array
    """NaN = unknown."""
    spot: Array
    place: NDArray[np.int64]
    """Row of the sandbox places; -1 = no sandbox machines there."""
    max_nodes: Array
    """That exist, or that the quota allows."""
    sunk: Array
    """1 where the nodes are the user's reservation: paid whether used or not, so that using them costs nothing more."""
    start_up_hours: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows(Table):
    """Columns of shape (n,): one stage on one offer with one candidate."""

    offer: NDArray[np.int64]
    candidate: NDArray[np.int64]
    hours: Array
    """From the request for machines to the end."""
    usd: Array
    """Machines only, of those that have a price; without reservations, which are paid anyway."""
    usd_per_hour: Array
    """Of the machines that have a price."""
    unpriced: Array
    """Kinds of machines without a known price: 0, 1 or 2."""
    gpus: Array
    interruptions: Array
    sandbox_nodes: Array

    @property
    def ranked_usd(self) -> Array:
        """Dollars for comparing: unknown ranks behind known."""
        return ranked_usd(self.usd, self.unpriced)


def start_up_hours(cloud: str, host: HostWork | None) -> float:
    """From the request for machines to the first step: in a cloud, on machines that exist, as processes here, or
    nowhere (an empty cloud)."""
    if not cloud:
        return 0.0
    if is_cloud(cloud):
        return START_UP_HOURS
    return OWN_START_UP_HOURS if host is None else host.start_seconds / 3600.0


def interrupted(useful_hours: Column, *, gpus: Column, nodes: Column, spot: Column) -> Lost:
    """Hours that preemptions lose, and how often nodes are preempted or fail: what failures lose is in `run_waste`."""
    lost = partial(
        lost_to_interruptions,
        useful_hours=useful_hours,
        nodes=nodes,
        checkpoint_hours=CHECKPOINT_HOURS,
        restart_hours=RESTART_HOURS,
    )
    preempted, failed = lost(gpus=0.0, spot=spot), lost(gpus=gpus, spot=0.0)
    return Lost(hours=preempted.hours, interruptions=preempted.interruptions + failed.interruptions)


def price_rows(candidates: Candidates, market: Market, places: SandboxPlaces | None) -> Rows:
    """Every candidate on every offer that sells its machine.

    hours = work + start-up + what interruptions lose; dollars = hours × (nodes × price + sandbox fleet).  Places
    without sandbox machines, and counts over what is owned or in quota, give infinite dollars.
    """
    offer, candidate = pair(market.machine, candidates.machine)
    nodes, gpus = candidates.nodes[candidate], candidates.gpus[candidate]
    slots_row = candidates.slots_row[candidate]
    price = market.usd_per_hour[offer]
    bought = 1.0 - market.sunk[offer]
    unpriced = np.isnan(price) * bought
    sandbox_usd, sandbox_nodes = np.zeros(len(offer)), np.zeros(len(offer))
    if places is not None:
        at = market.place[offer]
        there = at >= 0
        sandbox_usd[~there] = np.inf
        sandbox_usd[there] = places.usd_per_hour[at[there], slots_row[there]]
        sandbox_nodes[there] = places.nodes[at[there], slots_row[there]]
        unpriced[there] += places.unpriced[at[there], slots_row[there]]
    lost = interrupted(candidates.hours[candidate], gpus=gpus, nodes=nodes, spot=market.spot[offer])
    hours = candidates.hours[candidate] + lost.hours + market.start_up_hours[offer]
    machines = nodes * np.nan_to_num(price)
    return Rows(
        offer=offer,
        candidate=candidate,
        hours=hours,
        usd=np.where(nodes <= market.max_nodes[offer], hours * (bought * machines + sandbox_usd), np.inf),
        usd_per_hour=machines + sandbox_usd,
        unpriced=unpriced,
        gpus=gpus,
        interruptions=lost.interruptions,
        sandbox_nodes=sandbox_nodes,
    )


def within(rows: Rows, rejections: Rejections, *, max_usd_per_hour: float | None, name: str) -> Rows:
    """The rows that can be bought at all and stay under the burn limit, as far as their prices are known."""
    alive = np.ones(len(rows.offer), dtype=bool)

    def label(row: int) -> str:
        return f"{name}: {rows.gpus[row]:.0f} GPUs, {rows.sandbox_nodes[row]:.0f} sandbox nodes"

    reason = "no sandbox machines there (fleet.sandbox.targets names other clouds), or more nodes than the quota allows"
    alive = rejections.rows(alive, "place and quota", reason, np.isfinite(rows.usd), label)
    if max_usd_per_hour is not None:
        over = f"over limits.usd_per_hour of ${max_usd_per_hour:,.0f}"
        alive = rejections.rows(alive, BURN_RULE, over, rows.usd_per_hour <= max_usd_per_hour, label)
    return rows.take(alive)
