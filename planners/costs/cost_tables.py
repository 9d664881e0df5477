"""The frames of cost accounting: columns with their units.

Money is an exact decimal with six places, the ledger's own precision; null = the price is unknown, never 0.
"""

from __future__ import annotations

from enum import StrEnum

import polars as pl

from planners.runs.limits import MACHINE
from planners.telemetry.tables import GPU

USD = pl.Decimal(38, 6)
PRICE = pl.Decimal(38, 12)
MOMENT = pl.Datetime("us", "UTC")


class Purpose(StrEnum):
    """What a part of the money went to."""

    BUSY = "busy"
    """GPUs that worked."""
    IDLE = "idle"
    """GPUs that did not; `reason` says why."""
    UNMEASURED = "unmeasured"
    """Machines with GPUs, while no telemetry says what they did."""
    UNUSED = "unused"
    """Reserved, and no machine ran there."""
    SANDBOX = "sandbox"
    """Machines that run the generated code."""
    MACHINE = "machine"
    """Other machines without a GPU."""
    STORAGE = "storage"
    EGRESS = "egress"
    TOKENS = "tokens"
    """API tokens."""
    SHARED = "shared"
    """What serves all roles of a run: control plane, gateways, head nodes.  Spread over its roles."""


FORMULAS = {
    Purpose.BUSY: "cost of the machine x GPU-seconds that worked / all its GPU-seconds (GPUs x seconds paid)",
    Purpose.IDLE: "cost of the machine x GPU-seconds that did not work / all of them; reason: what they waited for",
    Purpose.UNMEASURED: "cost of the machine x GPU-seconds that no telemetry covers / all its GPU-seconds",
    Purpose.UNUSED: "cost of the reservation x (1 - node-seconds of the machines in it / node-seconds reserved)",
    Purpose.SANDBOX: "hours x dollars per hour", Purpose.MACHINE: "hours x dollars per hour",
    Purpose.STORAGE: "as reported", Purpose.EGRESS: "as reported", Purpose.TOKENS: "as reported",
    Purpose.SHARED: "hours x dollars per hour; spread over the run's roles in proportion to their direct cost",
}  # fmt: skip
"""How the dollars of each use come about, in words."""

RESERVATION = "reservation"
"""Kind of resource that is paid for whether machines run in it or not."""
ESTIMATE, BILLED = "estimate", "billed"
"""Status of a charge: at the price in the price book, or as an imported invoice states it."""
PURPOSE_OF_KIND = {
    MACHINE: Purpose.MACHINE,
    "process": Purpose.MACHINE,
    RESERVATION: Purpose.UNUSED,
    "storage": Purpose.STORAGE,
    "disk": Purpose.STORAGE,
    "egress": Purpose.EGRESS,
    "tokens": Purpose.TOKENS,
}
"""What is paid for a resource of a kind; any other kind is shared."""
SANDBOX_ROLE = "sandbox"


def text(*names: str) -> dict[str, pl.DataType | type[pl.DataType]]:
    """Columns of text."""
    return dict.fromkeys(names, pl.String)


CHARGES = pl.Schema(
    text("run", "team", "resource", "role", "kind", "provider", "node")
    | {"gpus": pl.Int32}
    | text("capacity_type", "reservation")
    | {"nodes": pl.Int32, "from_at": MOMENT, "to_at": MOMENT, "usd_per_hour": PRICE, "quantity": pl.Float64}
    | text("unit")
    | {"usd": USD}
    | text("source", "status")
)
"""One resource of a run, from a moment to a moment at one price.

node: the machine's name in telemetry, null if it is none; gpus: how many it has, null = unknown; reservation: the
reservation that it belongs to, or is; nodes: how many machines a reservation holds; quantity, unit: of what a job
reports, else null; source: where the price is from; status: estimate or billed."""

GPU_USAGE = pl.Schema({name: GPU[name].dtype for name in ("node", "gpu", "at", "seconds", "run", "role", "reason")})
"""Columns of the telemetry table `gpu` that accounting reads."""

PARTS = pl.Schema(
    text("run", "team", "role", "use", "reason", "resource", "kind", "provider", "node", "capacity_type", "reservation")
    | {"from_at": MOMENT, "to_at": MOMENT, "usd_per_hour": PRICE, "quantity": pl.Float64}
    | text("unit")
    | {"gpu_hours": pl.Float64, "usd": USD}
    | text("source", "status")
)
"""A part of a charge: who used it (run, team, role) and for what (use, reason).  `usd` of a charge's parts adds up to
the charge exactly; `gpu_hours` is null where no GPU is involved or nobody knows how many."""
