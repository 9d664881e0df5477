"""The telemetry tables: columns with their units, and how each is rolled up.

A row stands for `seconds` seconds that end at `at`.  Null means absent (the table `notes` says why), never 0.

Importing this module does not import polars: the agent that runs on every node has no room for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

TypeName = Literal["Timestamp", "String", "Float32", "Float64", "UInt8", "UInt16", "UInt32", "UInt64"]
"""Names of Arrow types; a timestamp counts milliseconds, in UTC."""


class IdleReason(StrEnum):
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
class ColumnType:
    """Type and roll-up of one column; its unit is in its name."""

    type_name: TypeName
    roll_up: RollUp

    @property
    def dtype(self) -> pl.DataType:
        """The polars type."""
        import polars as pl

        return pl.Datetime("ms", "UTC") if self.type_name == "Timestamp" else getattr(pl, self.type_name)()


_AT = {"at": ColumnType(type_name="Timestamp", roll_up=RollUp.KEY)}
_SECONDS = {"seconds": ColumnType(type_name="Float64", roll_up=RollUp.SUM)}


def _columns(type_name: TypeName, roll_up: RollUp, *names: str) -> dict[str, ColumnType]:
    return {name: ColumnType(type_name=type_name, roll_up=roll_up) for name in names}


GPU: dict[str, ColumnType] = (
    _AT
    | _columns("String", RollUp.KEY, "node", "gpu", "run", "role", "reason")
    | _SECONDS
    | _columns("UInt8", RollUp.MEAN, "gpu_util_pct", "tensor_active_pct", "memory_util_pct")
    | _columns("UInt32", RollUp.MAX, "fb_used_mib")
    | _columns("UInt16", RollUp.MEAN, "sm_clock_mhz", "memory_clock_mhz", "power_w")
    | _columns("UInt64", RollUp.SUM, "energy_j")
    | _columns("UInt8", RollUp.MAX, "temperature_c")
    | _columns("UInt32", RollUp.MEAN, "pcie_tx_kib_per_s", "pcie_rx_kib_per_s", "nvlink_kib_per_s")
    | _columns("UInt64", RollUp.SUM, "ecc_errors")
    | _columns("UInt16", RollUp.MAX, "xid")
)
"""One GPU or MIG instance (`gpu` = "3", "3:1").  `run` and `role` are null while nobody holds it; `reason` (an
`IdleReason`) is null while it works.  `energy_j` and `ecc_errors` are what the interval added, `xid` the last Xid in
it.  `gpu_util_pct` is the time in which any kernel ran, `tensor_active_pct` the cycles in which tensor cores worked."""

HOST: dict[str, ColumnType] = (
    _AT
    | _columns("String", RollUp.KEY, "node")
    | _SECONDS
    | _columns("Float32", RollUp.MEAN, "cpu_pct")
    | _columns("UInt32", RollUp.MAX, "memory_used_mib", "disk_used_mib")
    | _columns("UInt32", RollUp.MEAN, "disk_kib_per_s", "network_kib_per_s")
)
"""One node; `cpu_pct` is of all its cores together."""

SANDBOX: dict[str, ColumnType] = (
    _AT
    | _columns("String", RollUp.KEY, "node", "run")
    | _SECONDS
    | _columns("UInt32", RollUp.MEAN, "running", "queued", "workers")
    | _columns("UInt64", RollUp.SUM, "finished", "time_limits", "memory_limits", "errors")
    | _columns("Float32", RollUp.MEAN, "start_p50_ms", "request_p50_ms")
    | _columns("Float32", RollUp.MAX, "start_p95_ms", "request_p95_ms")
)
"""One sandbox server: programs that ended in the interval by how, and how long starts and requests took."""

DEVICES: dict[str, ColumnType] = (
    _AT
    | _columns("String", RollUp.KEY, "node", "gpu", "uuid", "model", "driver", "mig_profile")
    | _columns("UInt32", RollUp.KEY, "fb_total_mib", "power_limit_w")
)
"""What a GPU is; a row when it appears or changes."""

NOTES: dict[str, ColumnType] = _AT | _columns("String", RollUp.KEY, "node", "kind", "subject", "text")
"""What can't be a number: `kind` is absent (subject = a column), gap, appeared, lost, xid, restart, error, source (of a
table whose rows a scheduler's accounting gave), holder (subject = a GPU; the process that holds it)."""

TABLES: dict[str, dict[str, ColumnType]] = {
    "gpu": GPU,
    "host": HOST,
    "sandbox": SANDBOX,
    "devices": DEVICES,
    "notes": NOTES,
}


def schema(table: str) -> pl.Schema:
    """Names and types of a table's columns."""
    import polars as pl

    return pl.Schema({name: column.dtype for name, column in TABLES[table].items()})


def merge(table: str, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per key, in order of appearance; `at` is the last.  Absent values don't count; all absent stays absent.

    Sum, mean (weighted by `seconds`) and maximum as the table's columns say, like `planners.telemetry.roll_up`,
    but without polars: the agent does so before it writes.
    """
    columns = [(name, column.roll_up) for name, column in TABLES[table].items()]
    keys = [name for name, how in columns if how is RollUp.KEY and name != "at"]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(key) for key in keys), []).append(row)
    merged = []
    for values, group in groups.items():
        one = dict(zip(keys, values, strict=True)) | {"at": max(row["at"] for row in group)}
        for name, how in columns:
            if how is not RollUp.KEY:
                pairs = [(row[name], row["seconds"]) for row in group if row.get(name) is not None]
                one[name] = _combined(pairs, how) if pairs else None
        merged.append(one)
    return merged


def _combined(pairs: list[tuple[float, float]], how: RollUp) -> float:
    if how is RollUp.SUM:
        return sum(value for value, _ in pairs)
    if how is RollUp.MAX:
        return max(value for value, _ in pairs)
    seconds = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / seconds if seconds else pairs[-1][0]
