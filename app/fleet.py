"""GPUs that telemetry sees and no run of the ledger has paid for: which, at what estimated price, and who used them."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
import streamlit as st

from app import data, measurements
from app.view import BY_KEY, View
from clusterctl.costs.observed_machines import observed_prices
from clusterctl.costs.own_machine_prices import own_machine_prices
from clusterctl.store.kubernetes_labels import SourceLabels
from clusterctl.ui.formats import count
from planners.costs.cost_tables import PARTS
from planners.costs.observed import NODE_PRICES, observed_parts, shares_of_split_gpus

TEAM_LABELS = ("team", "app_kubernetes_io_team")
"""Labels of a pod that name its team, the first that is there."""


def nodes(view: View) -> frozenset[str]:
    """Names of the machines with GPUs that were measured in the window and that no run has ever paid for.

    None of them where one run is chosen.
    """
    if view.run is not None:
        return frozenset()
    seen = measurements.gpu_seconds(view)["node"].unique().drop_nulls()
    return frozenset(seen) - frozenset(data.machines(view.data, None))


def labels(view: View) -> SourceLabels:
    """What Kubernetes says of these machines and of the pods that hold their GPUs."""
    return _labels(view) if nodes(view) else SourceLabels()


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def _labels(view: View) -> SourceLabels:
    runs = measurements.gpu_seconds(view)["run"].unique().drop_nulls()
    _, _, start, end = view.key
    return data.store(view.data).labels(
        runs.filter(runs.str.contains("/", literal=True)).to_list(), start=start, end=end
    )


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def prices(view: View) -> pl.DataFrame:
    """NODE_PRICES of `planners.costs.observed` of these machines.  Raises SpecError for a file of own prices."""
    mine = nodes(view)
    if not mine:
        return pl.DataFrame(schema=NODE_PRICES)
    said = measurements.standing(view, "devices").select("at", "node", "gpu", "model").sort("at")
    devices = said.unique(["node", "gpu", "model"], keep="last", maintain_order=True)  # agents say it once an hour
    devices = devices.filter(pl.col("node").is_in(list(mine)))
    gpus = pl.col("gpu").str.split(":").list.first().n_unique()
    known = devices.group_by("node").agg(model=pl.col("model").drop_nulls().last(), gpus=gpus)
    found = pl.DataFrame({"node": sorted(mine)}).join(known, on="node", how="left")
    return observed_prices(found, labels(view).nodes, own=own_machine_prices())


@st.cache_resource(ttl=60, show_spinner=False, max_entries=8, hash_funcs=BY_KEY)
def parts(view: View) -> pl.DataFrame:
    """PARTS of `planners.costs.cost_tables` of these machines, as estimates."""
    known = prices(view)
    if known.is_empty():
        return pl.DataFrame(schema=PARTS)
    if measurements.splits_gpus(view):
        rows = shares_of_split_gpus(measurements.window(view, "gpu", "node", "gpu", "run", "role", "reason", "seconds"))
    else:
        rows = measurements.gpu_seconds(view)
    return observed_parts(rows, known, teams(view))


def teams(view: View) -> pl.DataFrame:
    """run (`namespace/pod`), team: of pods whose labels name one."""
    rows = []
    for pod, found in labels(view).pods.items():
        team = next((found[name] for name in TEAM_LABELS if found.get(name)), None)
        if team is not None:
            rows.append((pod, team))
    return pl.DataFrame(rows, schema={"run": pl.String, "team": pl.String}, orient="row")


def usd_per_hour(view: View) -> tuple[Decimal, int]:
    """What the GPUs that are seen now would cost an hour, and how many of them have no known price."""
    now = measurements.newest_rows(view, "gpu", "node", "gpu", "reason", "seconds")
    device = pl.col("gpu").str.split(":").list.first()
    seen = now.select("node", device).unique().group_by("node").len("seen")
    rows = prices(view).join(seen, on="node")
    known = rows.filter(pl.col("usd_per_gpu_hour").is_not_null())
    usd = sum((price * number for price, number in known.select("usd_per_gpu_hour", "seen").iter_rows()), Decimal(0))
    return usd, sum(rows["seen"].to_list()) - sum(known["seen"].to_list())


def estimate_words(view: View) -> str | None:
    """What the prices of these machines are, for people; None where there is none."""
    known = prices(view)
    if known.is_empty():
        return None
    by = known.group_by("source", "usd_per_gpu_hour", "own").agg(gpus=pl.col("gpus").sum(), nodes=pl.len())
    texts = []
    for source, usd, _, gpus, machines in by.sort("gpus", descending=True, nulls_last=True).head(4).iter_rows():
        price = "unknown price" if usd is None else f"${usd:,.2f} per GPU-hour"
        texts.append(f"{count(gpus or 0, 'GPU')} on {count(machines, 'node')}: {price} ({source})")
    more = f"; {by.height - 4} more kinds" if by.height > 4 else ""
    whole = count(int(known["gpus"].sum() or 0), "GPU")
    return f"No run has paid for {whole}: prices are estimates. {'; '.join(texts)}{more}"
