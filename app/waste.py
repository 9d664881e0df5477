"""What machines do now, and what would cost less: from the ledger, telemetry and estimated prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import polars as pl
import streamlit as st

from app import accounts, data, fleet, measurements
from app.view import BY_KEY, View
from clusterctl.ledger.rows import LIVE, Resource
from planners.costs.cost_tables import RESERVATION, SANDBOX_ROLE
from planners.costs.savings import MachineNow, ReservedCapacity, SandboxPool, Saving, most_at_once, savings
from planners.runs.limits import MACHINE
from planners.tags import TAG_PREFIX
from planners.telemetry.holding import idle_gpus, idle_since

MOST_NODES = 64
"""Whose idle GPUs are looked at one by one."""
HOLDER = "holder"
"""Kind of note with which an agent names the process that holds a GPU."""


def has_now(view: View) -> bool:
    """Whether the view has a present: not of a run that has ended."""
    return view.run is None or view.run.state in LIVE


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def idle_now(view: View) -> pl.DataFrame:
    """node, gpu, run, role, reason, free, since, whole: GPUs that did nothing in the newest minute.

    Of the MOST_NODES nodes with most of them.  `whole`: idle in all of the window, so since then at the latest.
    """
    rows = idle_gpus(measurements.newest_rows(view, "gpu", "node", "gpu", "run", "role", "reason", "seconds"))
    nodes = rows.group_by("node").len().sort("len", "node", descending=[True, False]).head(MOST_NODES)["node"]
    rows = rows.filter(pl.col("node").is_in(nodes.implode()))
    if rows.is_empty():
        return rows.with_columns(since=pl.lit(None, pl.Datetime("ms", "UTC")), whole=pl.lit(None, pl.Boolean))
    past = measurements.history(view, tuple(sorted(nodes)), "node", "gpu", "reason", "seconds")
    return rows.join(idle_since(past), on=["node", "gpu"], how="left")


def processes(view: View) -> pl.DataFrame:
    """node, gpu, process: whose process holds a GPU, as its agent has named it last."""
    notes = measurements.standing(view, "notes").filter(pl.col("kind") == HOLDER).sort("at")
    return notes.group_by("node", "subject").agg(process=pl.col("text").last()).rename({"subject": "gpu"})


def usd_per_gpu_hour(view: View) -> dict[str, Decimal | None]:
    """By machine that is paid or seen now: what one of its GPUs costs an hour."""
    return {one.node: one.usd_per_hour and one.usd_per_hour / one.gpus for one in machines(view) if one.gpus}


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def machines(view: View) -> tuple[MachineNow, ...]:
    """The machines that are paid now, and those that are seen without a run."""
    if not has_now(view):
        return ()
    idle = {node: group for (node,), group in idle_now(view).group_by("node")}
    hosts = measurements.window(view, "host", "node", "cpu_pct", "seconds")
    busiest = hosts.group_by("node").agg(most=pl.col("cpu_pct").max(), hours=pl.col("seconds").sum() / 3600)
    cpu = {node: (most, hours) for node, most, hours in busiest.iter_rows()}
    found = []
    for one in [*_paid(view), *_estimated(view)]:
        rows, (most, hours) = idle.get(one.node), cpu.get(one.node, (None, 0.0))
        found.append(replace(one, highest_cpu_pct=most, cpu_hours=hours, **({} if rows is None else _idle(rows))))
    return tuple(found)


def _paid(view: View) -> Iterator[MachineNow]:
    for row in _live(view, MACHINE):
        yield MachineNow(
            node=_tag(row, "node") or row.address or row.resource_id,
            usd_per_hour=row.usd_per_hour,
            gpus=int(_tag(row, "gpus") or 0),
            is_sandbox=row.role == SANDBOX_ROLE,
        )


def _estimated(view: View) -> Iterator[MachineNow]:
    for node, gpus, usd in fleet.prices(view).select("node", "gpus", "usd_per_gpu_hour").iter_rows():
        price = None if usd is None or gpus is None else usd * gpus
        yield MachineNow(node=node, usd_per_hour=price, gpus=gpus or 0, estimated=True)


def _idle(rows: pl.DataFrame) -> dict[str, Any]:
    """Of a machine, from the rows of its idle GPUs."""
    return {
        "idle_gpus": rows["gpu"].str.split(":").list.first().n_unique(),
        "idle_since": None if rows["since"].has_nulls() else rows["since"].max(),
        "holders": tuple(rows["run"].drop_nulls().unique().sort()),
    }


def _live(view: View, kind: str) -> list[Resource]:
    rows = data.resources(view.data, view.run_id)
    return [row for row in rows if row.state == "live" and row.kind == kind]


def _tag(row: Resource, name: str) -> str | None:
    return row.tags.get(f"{TAG_PREFIX}/{name}")


def sandbox_pools(view: View) -> list[SandboxPool]:
    """The sandbox machines that are paid now, by run."""
    rows = measurements.window(view, "sandbox", "node", "run", "running", "queued", "workers", "seconds")
    waits = accounts.gpu_use(view).filter(pl.col("reason") == "waiting_sandbox")
    pools = []
    by_run: dict[str, list[Resource]] = {}
    for row in _live(view, MACHINE):
        if row.role == SANDBOX_ROLE:
            by_run.setdefault(row.run_id, []).append(row)
    for run, nodes in by_run.items():
        sums = pl.col("running", "queued", "workers").cast(pl.Int64).sum()
        mine = rows.filter(pl.col("run") == run).group_by("at").agg(sums, pl.col("seconds").max()).sort("at")
        if mine.is_empty():
            continue
        hours, queued = float(mine["seconds"].sum()) / 3600, mine.filter(pl.col("queued") > 0)["at"]
        waiting = waits.filter(pl.col("run") == run, pl.col("at").is_in(queued.implode()))["usd"]
        prices = [row.usd_per_hour for row in nodes]
        pools.append(
            SandboxPool(
                run=run,
                nodes=len(nodes),
                slots=float(mine["workers"][-1]),
                most_running=_most(mine["running"]),
                most_wanted=_most(mine["running"] + mine["queued"]),
                was_queued=queued.len() > 0,
                waiting_usd_a_day=None if waiting.has_nulls() else Decimal(repr(float(waiting.sum()) / hours * 24)),
                usd_per_hour=None if None in prices else sum(filter(None, prices), Decimal(0)),
                hours=hours,
            )
        )
    return pools


def _most(values: pl.Series) -> float:
    return max(values.to_list(), default=0.0)


def reservations(view: View) -> list[ReservedCapacity]:
    """The reservations that are paid now."""
    charges = data.charges(view).filter(pl.col("kind") == MACHINE)
    found = []
    for row in _live(view, RESERVATION):
        name = _tag(row, "reservation") or row.address or row.resource_id
        mine = charges.filter(pl.col("reservation") == name, pl.col("to_at") > view.start)
        used = most_at_once(mine.select("from_at", "to_at").rows())
        nodes = int(_tag(row, "nodes") or 1)
        found.append(
            ReservedCapacity(name=name, nodes=nodes, most_used=min(used, nodes), usd_per_hour=row.usd_per_hour)
        )
    return found


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def found_savings(view: View) -> tuple[Saving, ...]:
    """What would cost less than what is paid now; nothing of a run that has ended."""
    if not has_now(view):
        return ()
    left = [
        (row.address or row.resource_id, row.usd_per_hour)
        for row in data.leftovers(view.data)
        if row.kind == MACHINE and view.run_id in {None, row.run_id}
    ]
    return savings(machines(view), sandbox_pools(view), reservations(view), left, now=view.now)


def idle_slots(view: View) -> tuple[float, Decimal | None]:
    """Slot-hours of sandboxes in which no program ran, and what they cost (None = unknown), in the window."""
    rows = measurements.window(view, "sandbox", "node", "run", "running", "queued", "workers", "seconds")
    hours = pl.col("seconds") / 3600
    by = rows.group_by("node").agg(slots=(pl.col("workers") * hours).sum(), used=(pl.col("running") * hours).sum())
    parts = accounts.account(view).parts.filter(pl.col("use") == "sandbox")
    paid = parts.group_by("node").agg(usd=accounts.known_sum("usd"))
    by = by.join(paid, on="node", how="left").filter(pl.col("slots") > 0)
    idle = pl.max_horizontal(pl.col("slots") - pl.col("used"), 0.0)
    by = by.with_columns(idle=idle, idle_usd=pl.col("usd").cast(pl.Float64) * idle / pl.col("slots"))
    usd = None if by["idle_usd"].has_nulls() else Decimal(repr(float(by["idle_usd"].sum())))
    return float(by["idle"].sum()), usd
