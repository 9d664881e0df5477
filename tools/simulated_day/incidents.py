"""What goes wrong with the hardware, put into frames: rows that are missing, columns that are absent, and the notes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from planners.telemetry.tables import schema
from tools.simulated_day.frames import GPUS_PER_NODE, INTERVAL_SECONDS, STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something on a node: kind lost (a GPU has gone), gap (nobody measured), xid, absent (a column is not offered), or
    holder (its GPUs do nothing, and the process `text` holds them).

    `subject`: the GPU, or the column; `until_hour` only where it lasts.
    """

    kind: str
    node: str
    subject: str = ""
    at_hour: float = 0.0
    until_hour: float = 0.0
    xid: int = 0
    text: str = ""


def apply(frame: pl.DataFrame, incidents: Iterable[Incident], start: datetime) -> pl.DataFrame:
    """The frame of table `gpu` or `host` as it was recorded."""
    for incident in incidents:
        here = pl.col("node") == incident.node
        if "gpu" in frame.columns and incident.kind in {"lost", "xid"}:
            here &= pl.col("gpu") == incident.subject
        elif incident.kind in {"lost", "xid"}:
            continue
        at, until = (start + timedelta(hours=hour) for hour in (incident.at_hour, incident.until_hour))
        during = here & (pl.col("at") > at) & (pl.col("at") <= until)
        if incident.kind in {"lost", "gap"}:
            frame = frame.filter(~during)
        elif incident.kind == "absent" and incident.subject in frame.columns:
            kept = pl.when(here).then(None).otherwise(pl.col(incident.subject))
            frame = frame.with_columns(kept.alias(incident.subject))
        elif incident.kind == "xid":
            moment = here & (pl.col("at") > at) & (pl.col("at") <= at + timedelta(seconds=INTERVAL_SECONDS))
            frame = frame.with_columns(xid=pl.when(moment).then(pl.lit(incident.xid, pl.UInt16)).otherwise("xid"))
    return frame


def held_idle(gpus: pl.DataFrame, incidents: Iterable[Incident], start: datetime) -> pl.DataFrame:
    """The frame of table `gpu` in which held GPUs do nothing: as one that waits for a process that hangs."""
    state = STATES["hang"]
    power = {"power_w": state.power_w, "temperature_c": 28 + state.power_w / 17.0}
    idle = {"gpu_util_pct": 0, "tensor_active_pct": 0, "memory_util_pct": 0} | power
    idle |= dict.fromkeys(("pcie_tx_kib_per_s", "pcie_rx_kib_per_s", "nvlink_kib_per_s"), 0)
    for incident in incidents:
        if incident.kind == "holder":
            at, until = (start + timedelta(hours=hour) for hour in (incident.at_hour, incident.until_hour))
            here = (pl.col("node") == incident.node) & (pl.col("at") > at) & (pl.col("at") <= until)
            values: dict[str, pl.Expr] = {name: pl.lit(value) for name, value in idle.items()}
            values |= {"reason": pl.lit(state.reason), "energy_j": pl.lit(state.power_w) * pl.col("seconds")}
            changed = [
                pl.when(here).then(value.cast(gpus.schema[name])).otherwise(name).alias(name)
                for name, value in values.items()
            ]
            gpus = gpus.with_columns(changed)
    return gpus


def notes(incidents: Iterable[Incident], start: datetime) -> pl.DataFrame:
    """Table `notes`: what the rows can't say, a line for each beginning and each end."""
    rows: list[tuple[datetime, str, str, str, str]] = []
    for incident in incidents:
        at, until = (start + timedelta(hours=hour) for hour in (incident.at_hour, incident.until_hour))
        subjects = [str(gpu) for gpu in range(GPUS_PER_NODE)] if incident.kind == "holder" else [incident.subject]
        rows += [(at, incident.node, incident.kind, subject, incident.text) for subject in subjects]
        if incident.kind == "lost":
            rows.append((until, incident.node, "appeared", incident.subject, "the node was replaced"))
    return pl.DataFrame(rows, schema=dict(schema("notes")), orient="row").sort("at")


def devices(nodes: Mapping[str, Sequence[str]], start: datetime) -> pl.DataFrame:
    """Table `devices`: every GPU of every node once, as the data sheet of the H100 SXM5 80 GB has it."""
    rows = [
        (start, node, gpu, f"GPU-simulated-{node}-{gpu}", "NVIDIA H100 80GB HBM3", "570.124.06", None, 81_559, 700)
        for node, gpus in nodes.items()
        for gpu in gpus
    ]
    return pl.DataFrame(rows, schema=dict(schema("devices")), orient="row")
