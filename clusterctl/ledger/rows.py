"""What the ledger holds, as values: a table's columns are its row's fields.

Money and hours are exact decimals, times are UTC, unknown is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

RunState = Literal["wanted", "provisioning", "queued", "running", "stopping", "stopped", "finished", "failed"]
Desired = Literal["up", "down"]
ResourceState = Literal["intended", "live", "gone"]
Signed = Decimal
"""An amount that may be negative: a credit on a bill."""
LIVE: tuple[RunState, ...] = ("wanted", "provisioning", "queued", "running", "stopping")
"""States in which a run owns its name and may own resources."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`started_at` is set by the first live state after `wanted`, `ended_at` by a state that isn't live."""

    run_id: str
    name: str
    target: str
    plan_id: str | None = None
    state: RunState = "wanted"
    desired: Desired = "up"
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    limit_usd: Decimal | None = None
    limit_hours: Decimal | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    stage: str = ""
    """Stage of its plan that it is at; empty = the first one."""
    alternative: int = 0  # of the plan, on which it runs; 0 = the plan's own fleet
    reports_byte: int = 0  # how much of what its job reports has been recorded
    progress_at: datetime | None = None
    """When its last step was recorded."""
    beat_at: datetime | None = None
    """When somebody last watched it, by the run's clock, the boot and the uptime of the machine that did."""
    beat_boot_id: str = ""
    beat_uptime_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A plan as its file holds it."""

    plan_id: str
    schema: str
    content: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A resource that is about to be made.  Its id is deterministic: who repeats the act names the same thing."""

    resource_id: str
    run_id: str
    role: str
    kind: str
    provider: str
    tags: Mapping[str, str] = field(default_factory=dict)
    usd_per_hour: Decimal | None = None
    price_source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource(Intent):
    """A resource: `intended` before the act, `live` with its address (pid and start time, cloud id), then `gone`."""

    address: str | None = None
    state: ResourceState = "intended"
    intended_at: datetime
    live_at: datetime | None = None
    stop_asked_at: datetime | None = None
    """When it was asked to save its work and end."""
    gone_at: datetime | None = None
    cause: str = ""
    """Why it ended: a Cause of `planners.runs.reconcile`, or empty where nobody knows."""

    @property
    def slot(self) -> str:
        """Slot of an instance or a machine, as its id names it: run/slot/start."""
        return self.resource_id.split("/")[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.  `seq` rises in the order in which one run's events were written; it may skip."""

    seq: int
    event_id: str
    run_id: str
    at: datetime
    kind: str
    role: str | None
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseSeconds:
    """Seconds that one phase of one step took."""

    run_id: str
    stage: str
    phase: str
    step: int
    seconds: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Step number `step` of `of` is done.  A metric that is no finite number is None."""

    run_id: str
    stage: str
    step: int
    of: int
    at: datetime
    metrics: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRow:
    """One factor of one calibration by own runs; see planners/learn/.  Those of the newest calibration that isn't
    reverted are in use."""

    calibration_id: str
    work: str
    phase: str
    model_class: str
    engine: str
    sandbox_profile: str
    inputs: str
    gpu: str
    log_factor: float
    log_sd: float
    ratios: Mapping[str, float]
    """Run -> actual over planned."""
    applied_at: datetime
    reverted_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One interval of one resource at one price; `usd` is None while the price is unknown."""

    run_id: str
    resource_id: str
    from_at: datetime
    to_at: datetime
    usd_per_hour: Decimal | None
    usd: Decimal | None
    source: str
    quantity: Decimal | None = None
    """Of what a job reports: how much, in the unit that the resource's tag names."""
    usd_per_unit: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedCost:
    """What a job has used beside its machines: `quantity` at a price, or for `usd`, or at an unknown price."""

    intent: Intent
    """The resource that stands for it: nothing that could be ended."""
    quantity: Decimal
    usd_per_unit: Decimal | None
    usd: Decimal | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBatch:
    """What a job has reported between two positions of its reports."""

    from_byte: int = 0
    to_byte: int = 0
    steps: tuple[Step, ...] = ()
    phases: tuple[PhaseSeconds, ...] = ()
    costs: tuple[ReportedCost, ...] = ()
    since: datetime
    """When the first interval of a cost begins."""
    progress_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceCost:
    """All intervals of one resource; `known_usd` adds those with a price, `usd` is None if one has none."""

    resource_id: str
    role: str
    kind: str
    seconds: float
    known_usd: Decimal
    usd: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The lines of a run and their sums.  `usd` is None as soon as one line is; `known_usd` is a proof."""

    lines: tuple[ResourceCost, ...]
    known_usd: Decimal
    usd: Decimal | None
    unpriced: tuple[str, ...]
    """Resources with an interval whose price is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedBill:
    """What a provider billed an account for a month.  `invoice` is None until it is final; `digest` is of its lines."""

    bill_id: str
    provider: str
    account: str
    period_from: datetime
    period_to: datetime
    invoice: str | None
    digest: str
    files: str
    imported_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedLine:
    """One thing on a bill; `rows` of its file were added up.  No `run_id`: it is not ours, or nobody knows whose."""

    bill_id: str
    line: int
    run_id: str | None
    resource_id: str | None
    role: str | None
    address: str | None
    kind: str
    description: str
    from_at: datetime
    to_at: datetime
    usd: Signed
    rows: int
