"""The plan as a value: what `plan` prints, `plan.json` holds and other commands apply exactly.

Every number a person sees carries the id of a `Term`, so that `--explain ID` can show where it comes from.
Money is US dollars as floats (an estimate; bills are decimals elsewhere); None means unknown and is never added up.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from planners.plan.plan_rows import (
    Assumption,
    Band,
    Calibrated,
    Idle,
    Memory,
    Narrow,
    OwnRuns,
    Rejection,
    Sensitivity,
    Term,
    UnitCost,
    Unpriced,
    Value,
)

SCHEMA: Literal["clusterctl.plan/1"] = "clusterctl.plan/1"
"""Name and version of the plan file; a reader refuses any other version."""
PRICE_OLD_DAYS = 180
"""Age of the oldest price from which a plan warns and `up` asks: list prices change a few times a year.  Assumption."""


class Pool(Value):
    """Equal nodes for one role in one stage."""

    id: str
    stage: str
    role: str
    """trainer+rollout, trainer, rollout, sandbox."""
    cloud: str
    region: str
    instance_type: str
    capacity_type: str
    nodes: int
    gpu: str | None = None
    gpus_per_node: int = 0
    slots: int | None = None
    """Sandboxes that run at once on the whole pool."""
    usd_per_node_hour: float | None
    price_as_of: date | None
    price_source: str
    hours: float
    usd: float | None

    @property
    def gpus(self) -> int:
        """GPUs of all nodes."""
        return self.nodes * self.gpus_per_node

    @property
    def gpu_hours(self) -> float:
        """GPU-hours while the pool is held."""
        return self.gpus * self.hours


class Phase(Value):
    """One phase of a unit of work (an RL step, an optimizer step, the whole pass over the tasks)."""

    id: str
    name: str
    seconds: float
    share: float
    """Of the seconds of the unit; overlapped phases count with their exposed part only."""
    exposed_seconds: float
    bound_by: str
    parts: dict[str, float] = Field(default_factory=dict)
    """Named components in seconds; they overlap in part, so they need not add up to `seconds`."""
    pool: str = ""
    """Who works: trainer, rollout or sandbox; empty means trainer.  Draws the timeline's lanes, nothing else."""
    start_seconds: float | None = None
    """When in the unit it begins; None means right after the exposed part of the phase before it."""
    own: OwnRuns | None = None
    """None where own runs teach nothing, such as an API's speed."""


class StagePlan(Value):
    """One stage on its fleet."""

    name: str
    kind: str
    title: str
    unit: str
    units: float
    seconds_per_unit: Band
    hours: Band
    usd: Band | None
    """Of what has a price; None where nothing has."""
    at_least: bool = False
    """True when a line of the stage has no price."""
    layout: dict[str, float | str]
    phases: tuple[Phase, ...]
    demand: dict[str, float]
    """Tokens, GPU-hours by pool, sandbox-hours, starts per second: name with unit -> amount."""
    waste_hours: dict[str, float]
    memory: Memory | None
    idle: Idle | None
    calibrated: Calibrated
    narrow: tuple[Narrow, ...] = ()


class Line(Value):
    """One line of the bill."""

    id: str
    stage: str
    name: str
    unit: str
    quantity: float
    usd_per_unit: float | None
    usd: float | None
    as_of: date | None
    source: str


class Alternative(Value):
    """Another fleet of the frontier."""

    number: int
    label: str
    """cheapest, fastest, less risk, or empty."""
    fleet: str
    cloud: str
    region: str
    capacity_type: str
    gpu: str
    gpus: int
    sandbox_nodes: int
    hours: Band
    usd: Band
    """Of what has a price."""
    at_least: bool = False
    """True when a line of its bill has no price."""
    interruptions: float
    """Expected failures and preemptions of the run: the risk axis."""
    pools: tuple[Pool, ...] = ()
    """Its machines: what a run asks for where those of the plan can't be had."""


class PriceAge(Value):
    """How old the prices of the bill are: of machines, disks, storage, network, control planes and tokens.

    Prices that the user states have no age: they are the user's own.
    """

    newest: date | None
    oldest: date | None
    age_days: int | None
    """Age of the oldest price."""
    oldest_line: str | None = None
    """Name of the line of the bill with the oldest price."""
    undated: tuple[str, ...] = ()
    """Names of lines whose price nobody dated."""
    spot_age_days: int | None = None
    book: str

    def too_old(self, max_days: int, *, today: date) -> str | None:
        """Which price of the bill is older than `max_days` or of unknown age, in words; None where none is."""
        days = (today - self.oldest).days if self.oldest is not None else 0
        if days > max_days:
            return f"the price of {self.oldest_line or 'a line'} is {days} days old"
        if self.undated:
            more = f" (and of {len(self.undated) - 1} more lines)" if len(self.undated) > 1 else ""
            return f"the price of {self.undated[0]}{more} is of unknown age"
        return None


class Plan(Value):
    """A plan.  `apply` uses `pools` and `spec` alone; everything else is for people and for review."""

    schema_name: Literal["clusterctl.plan/1"] = SCHEMA
    id: str
    """First 16 hex digits of the SHA-256 of the content without `id` and `created_at`."""
    created_at: datetime
    name: str
    objective: str
    spec: dict[str, Any]
    prices: PriceAge
    calibration: str
    """Id of the calibration that gave constants and bands; `+` and the id of the factors of own runs, where used."""
    fleet: str
    """One line: cloud region, capacity type."""
    feasible: bool = True
    hours: Band
    usd: Band
    at_least: bool
    """True when a line has no price: the real bill is higher than `usd`."""
    usd_per_hour: float | None
    """Of the machines of the stage that costs most per hour; None when the price of a machine is unknown."""
    stages: tuple[StagePlan, ...]
    pools: tuple[Pool, ...]
    lines: tuple[Line, ...]
    alternatives: tuple[Alternative, ...]
    frontier_chosen: int
    """Number of the alternative that is this plan; the choice is one of `alternatives`."""
    elsewhere: tuple[Alternative, ...] = Field(default=(), exclude_if=lambda found: not found)
    """The machines of the plan in other regions and of other capacity types: where there is no capacity for the plan,
    its run may turn to these too.  Numbered after `alternatives`; a page does not show them.  Absent = none."""
    decided_by: tuple[str, ...] = Field(default=(), exclude_if=lambda found: not found)
    """Limits of the spec without which another fleet would be the plan, and that fleet.  Absent = none."""
    rejections: tuple[Rejection, ...]
    candidates: int
    sensitivity: tuple[Sensitivity, ...]
    assumptions: tuple[Assumption, ...]
    unpriced: tuple[Unpriced, ...]
    economics: tuple[UnitCost, ...]
    warnings: tuple[str, ...]
    terms: dict[str, Term]

    @property
    def known_usd_per_hour(self) -> float:
        """`usd_per_hour`, or what the machines with a price cost where another has none."""
        if self.usd_per_hour is not None:
            return self.usd_per_hour
        return known_usd_per_hour(self.pools)


def known_usd_per_hour(pools: Iterable[Pool]) -> float:
    """Dollars per hour of the machines that have a price, in the stage that costs most."""
    by_stage: dict[str, float] = {}
    for pool in pools:
        by_stage[pool.stage] = by_stage.get(pool.stage, 0.0) + pool.nodes * (pool.usd_per_node_hour or 0.0)
    return max(by_stage.values(), default=0.0)
