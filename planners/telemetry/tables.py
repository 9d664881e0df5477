"""The telemetry tables: columns with their units, and how each is rolled up.

A row stands for `seconds` seconds that end at `at`.  Null means absent (the table `notes` says why), never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import polars as pl


class Idle(StrEnum):
    """Why a GPU does no work."""

    WAITING_SANDBOX = "waiting_sandbox"
    WAITING_SYNC = "waiting_sync"
    WAITING_ROLLOUT = "waiting_rollout"
    NO_PROCESS = "no_process"
    BOOTING = "booting"
    UNKNOWN = "unknown"


class RollUp(StrEnum):
    """How a column of many rows becomes one value."""

    KEY = "key"
    SUM = "sum"
    """Its type holds the sum over a whole fleet and day."""
    MEAN = "mean"
    """Weighted by `seconds`, over the rows that have a value."""
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Type and roll-up of one column; its unit is in its name."""

    dtype: pl.DataType | type[pl.DataType]
    roll_up: RollUp


_AT = {"at": Column(dtype=pl.Datetime("ms", "UTC"), roll_up=RollUp.KEY)}
_SECONDS = {"seconds": Column(dtype=pl.Float64, roll_up=RollUp.SUM)}


def _columns(dtype: type[pl.DataType], roll_up: RollUp, *names: str) -> dict[str, Column]:
    return {name: Column(dtype=dtype, roll_up=roll_up) for name in names}


GPU: dict[str, Column] = (
    _AT
    | _columns(pl.String, RollUp.KEY, "node", "gpu", "run", "role", "reason")
    | _SECONDS
    | _columns(pl.UInt8, RollUp.MEAN, "gpu_util_pct", "memory_util_pct")
    | _columns(pl.UInt32, RollUp.MAX, "fb_used_mib")
    | _columns(pl.UInt16, RollUp.MEAN, "sm_clock_mhz", "memory_clock_mhz", "power_w")
    | _columns(pl.UInt64, RollUp.SUM, "energy_j")
    | _columns(pl.UInt8, RollUp.MAX, "temperature_c")
    | _columns(pl.UInt32, RollUp.MEAN, "pcie_tx_kib_per_s", "pcie_rx_kib_per_s", "nvlink_kib_per_s")
    | _columns(pl.UInt64, RollUp.SUM, "ecc_errors")
    | _columns(pl.UInt16, RollUp.MAX, "xid")
)
"""One GPU or MIG instance (`gpu` = "3", "3:1").  `run` and `role` are null while nobody holds it; `reason` (an `Idle`)
is null while it works.  `energy_j` and `ecc_errors` are what the interval added, `xid` the last Xid in it."""

HOST: dict[str, Column] = (
    _AT
    | _columns(pl.String, RollUp.KEY, "node")
    | _SECONDS
    | _columns(pl.Float32, RollUp.MEAN, "cpu_pct")
    | _columns(pl.UInt32, RollUp.MAX, "memory_used_mib", "disk_used_mib")
    | _columns(pl.UInt32, RollUp.MEAN, "disk_kib_per_s", "network_kib_per_s")
)
"""One node; `cpu_pct` is of all its cores together."""

SANDBOX: dict[str, Column] = (
    _AT
    | _columns(pl.String, RollUp.KEY, "node", "run")
    | _SECONDS
    | _columns(pl.UInt32, RollUp.MEAN, "running", "queued", "workers")
    | _columns(pl.UInt64, RollUp.SUM, "finished", "time_limits", "memory_limits", "errors")
    | _columns(pl.Float32, RollUp.MEAN, "start_p50_ms", "request_p50_ms")
    | _columns(pl.Float32, RollUp.MAX, "start_p95_ms", "request_p95_ms")
)
"""One sandbox server: programs that ended in the interval by how, and how long starts and requests took."""

DEVICES: dict[str, Column] = (
    _AT
    | _columns(pl.String, RollUp.KEY, "node", "gpu", "uuid", "model", "driver", "mig_profile")
    | _columns(pl.UInt32, RollUp.KEY, "fb_total_mib", "power_limit_w")
)
"""What a GPU is; a row when it appears or changes."""

NOTES: dict[str, Column] = _AT | _columns(pl.String, RollUp.KEY, "node", "kind", "subject", "text")
"""What can't be a number: `kind` is absent (subject = a column), gap, appeared, lost, xid, restart, error."""

TABLES: dict[str, dict[str, Column]] = {
    "gpu": GPU, "host": HOST, "sandbox": SANDBOX, "devices": DEVICES, "notes": NOTES,
}  # fmt: skip


def schema(table: str) -> pl.Schema:
    """Names and types of a table's columns."""
    return pl.Schema({name: column.dtype for name, column in TABLES[table].items()})
