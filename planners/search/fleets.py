"""From rows of the search to fleets in plain words: which offer, how many nodes, which sandbox machines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planners.domain import QUALITY_WORDS
from planners.search.availability import LIST_USD
from planners.search.evaluate import Shortlist
from planners.search.own_prices import RESERVED, YOURS
from planners.search.pricing import start_up_hours
from planners.search.search import SearchResult
from planners.spec.fleet import is_cloud

FLOOR_SHARE = 0.15
"""Of the list price.  Google sells spot machines at 60 to 91 % less than on demand
(cloud.google.com/compute/docs/instances/spot); a price near that end is a floor that is seldom had for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """Identical nodes and their hourly price."""

    cloud: str
    region: str
    instance_type: str
    capacity_type: str
    nodes: int
    usd_per_hour: float | None
    as_of: date | None
    source: str
    quality: str
    gpu: str | None = None
    gpus_per_node: int = 0
    slots_per_node: int = 0
    list_usd_per_hour: float | None = None
    """Of GPU machines: the lowest price on demand."""

    @property
    def floor_share(self) -> float | None:
        """A spot price as a share of the list price, where it is so low that it is a floor; else None."""
        usd, usual = self.usd_per_hour, self.list_usd_per_hour
        if self.capacity_type != "spot" or self.quality == YOURS or not usd or not usual:
            return None
        return usd / usual if usd <= FLOOR_SHARE * usual else None

    @property
    def all_usd_per_hour(self) -> float | None:
        """Dollars per hour of all nodes; None = unknown."""
        return None if self.usd_per_hour is None else self.nodes * self.usd_per_hour

    @property
    def price_source(self) -> str:
        """`scaled: aws-price-list@2026-07-20`, `your price`: what kind of price it is, and where it comes from."""
        kind = QUALITY_WORDS.get(self.quality, self.quality)
        return kind if self.source == self.quality else f"{kind}: {self.source}"

    @property
    def reserved(self) -> bool:
        """Whether the user has reserved them: they are paid whether used or not."""
        return self.quality == YOURS and self.capacity_type == RESERVED

    @property
    def capacity(self) -> str:
        """`spot`, `on demand`, `your reservation`: how they are bought, in words."""
        if self.reserved:
            return "your reservation"
        return self.capacity_type.replace("_", " ")

    @property
    def owned(self) -> bool:
        """Whether these machines exist already, outside the clouds."""
        return not is_cloud(self.cloud)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFleet:
    """One stage's machines in one run."""

    gpus: NodeGroup | None
    sandbox: NodeGroup | None

    @property
    def home(self) -> NodeGroup | None:
        """The machines that say where the stage lives; None where it only calls APIs."""
        return self.gpus or self.sandbox

    @property
    def cloud(self) -> str:
        """Where the stage lives; empty where it only calls APIs."""
        return self.home.cloud if self.home is not None else ""

    @property
    def machines(self) -> list[NodeGroup]:
        """GPU and sandbox machines, as far as there are any."""
        return [machines for machines in (self.gpus, self.sandbox) if machines is not None]

    @property
    def num_gpus(self) -> int:
        """All GPUs of the stage."""
        return self.gpus.nodes * self.gpus.gpus_per_node if self.gpus is not None else 0


def stage_on(
    found: SearchResult, runs: NDArray[np.int64], stage: int, *, year: float
) -> tuple[list[StageFleet], Shortlist]:
    """The fleets of one stage in the runs with these numbers, in plain words and as columns."""
    search = found.stages[stage]
    row = found.runs.rows[runs, stage]
    candidate = search.rows.candidate[row]
    fleets = [fleet_of(found, int(run), stage) for run in runs]
    spot = [float(f.gpus is not None and f.gpus.capacity_type == "spot") for f in fleets]
    slots = [float(f.sandbox.nodes * f.sandbox.slots_per_node) if f.sandbox else 0.0 for f in fleets]
    return fleets, Shortlist(
        work=search.work,
        machines=found.machines,
        layouts=search.candidates.layouts.take(search.candidates.layout[candidate]),
        slots=np.array(slots),
        spot=np.array(spot),
        start_up_hours=np.array([start_up_hours(fleet.cloud, search.work.host) for fleet in fleets]),
        year=year,
    )


def fleet_of(found: SearchResult, run: int, stage: int) -> StageFleet:
    """The machines of one stage in the run with this number."""
    search = found.stages[stage]
    row = int(found.runs.rows[run, stage])
    candidate, offer = int(search.rows.candidate[row]), int(search.rows.offer[row])
    gpus = None
    if search.work.needs_gpus:
        gpus = _nodes(found.offers.row(offer, named=True), search.candidates.nodes[candidate])
    places = search.places
    if places is None:
        return StageFleet(gpus=gpus, sandbox=None)
    place = offer if gpus is None else places.places.get((gpus.cloud, gpus.region), places.cheapest)
    at = place, int(search.candidates.slots_row[candidate])
    return StageFleet(gpus=gpus, sandbox=_nodes(places.offers.row(int(places.offer[at]), named=True), places.nodes[at]))


def _nodes(offer: dict[str, Any], count: float) -> NodeGroup:
    same = ("cloud", "region", "instance_type", "capacity_type", "usd_per_hour", "as_of", "gpu")
    return NodeGroup(
        **{name: offer[name] for name in same},
        nodes=int(count),
        source=offer["source"] or "",
        quality=offer["quality"] or "",
        gpus_per_node=int(offer["num_gpus"] or 0),
        slots_per_node=int(offer.get("slots") or 0),
        list_usd_per_hour=offer.get(LIST_USD),
    )
