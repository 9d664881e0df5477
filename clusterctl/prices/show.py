"""Price rows for people (tables) and for programs (JSON).  An unknown value is `unknown` or null, never 0."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from clusterctl.console import Terminal
from clusterctl.prices import table
from clusterctl.prices.check import Finding
from clusterctl.prices.table import Column

SCHEMA = "clusterctl.prices/1"
TABLE_ROWS = 20

LIST_COLUMNS = (
    Column(title="cloud"),
    Column(title="region"),
    Column(title="zone", from_columns=120),
    Column(title="instance", fold=True),
    Column(title="capacity"),
    Column(title="GPUs"),
    Column(title="vCPU", right=True, from_columns=90),
    Column(title="GiB", right=True, from_columns=100),
    Column(title="$/h", right=True),
    Column(title="$/GPU-h", right=True),
    Column(title="age", right=True),
    Column(title="quality", from_columns=130),
    Column(title="source", fold=True, from_columns=170),
)
COMPARE_COLUMNS = (
    Column(title="cloud"),
    Column(title="region"),
    Column(title="capacity"),
    Column(title="instance", fold=True),
    Column(title="GPUs"),
    Column(title="$/GPU-h", right=True),
    Column(title="× cheapest", right=True, from_columns=96),
    Column(title="$/h", right=True, from_columns=110),
    Column(title="age", right=True),
    Column(title="quality", from_columns=130),
)


def list_row(offer: dict[str, Any]) -> tuple[str, ...]:
    """One row of LIST_COLUMNS.  `Any`: a polars row of mixed types."""
    return (
        offer["cloud"],
        offer["region"],
        offer["zone"] or "-",
        offer["instance_type"],
        offer["capacity_type"],
        _gpus(offer),
        table.number(offer["vcpus"]),
        table.number(offer["memory_gib"]),
        table.dollars(offer["usd_per_hour"]),
        "-" if offer["gpu"] is None else table.dollars(offer["usd_per_gpu_hour"]),
        table.age(offer["age_days"]),
        offer["quality"],
        offer["source"],
    )


def compare_row(offer: dict[str, Any]) -> tuple[str, ...]:
    """One row of COMPARE_COLUMNS."""
    times = offer["times_cheapest"]
    return (
        offer["cloud"],
        offer["region"],
        offer["capacity_type"],
        offer["instance_type"],
        _gpus(offer),
        table.dollars(offer["usd_per_gpu_hour"]),
        table.UNKNOWN if times is None else f"{times:.2f}",
        table.dollars(offer["usd_per_hour"]),
        table.age(offer["age_days"]),
        offer["quality"],
    )


def offers_table(
    rows: pl.DataFrame, priced_at: tuple[date, date], terminal: Terminal, *, limit: int | None, compare: bool = False
) -> str:
    """A table of a listing or comparison with a line that says how much of it is shown."""
    shown = rows.head(limit or TABLE_ROWS)
    columns, to_cells = (COMPARE_COLUMNS, compare_row) if compare else (LIST_COLUMNS, list_row)
    drawn = table.draw(columns, [to_cells(row) for row in shown.iter_rows(named=True)], terminal)
    unknown = rows["usd_per_hour"].null_count()
    notes = [f"shown {shown.height:,} of {rows.height:,} offers", f"prices of {priced_at[0]} to {priced_at[1]}"]
    notes += [f"{unknown} without a known price"] if unknown else []
    if rows.is_empty():
        return f"no offer in the price book matches · {notes[1]}\n"
    return f"{drawn}\n{textwrap.fill(' · '.join(notes), terminal.columns)}\n"


def offers_json(rows: pl.DataFrame, priced_at: tuple[date, date], *, limit: int | None) -> str:
    """The listing as JSON: schema id, dates, how many rows there are, and the rows."""
    shown = rows if limit is None else rows.head(limit)
    return as_json(
        {
            "schema": SCHEMA,
            "priced_at": {"oldest": priced_at[0], "newest": priced_at[1]},
            "num_offers": rows.height,
            "offers": shown.to_dicts(),
        }
    )


def history_table(rows: pl.DataFrame, terminal: Terminal, *, limit: int | None) -> str:
    """One line per region and capacity type: first and last price, change, and the price over time."""
    columns = (
        Column(title="cloud", from_columns=90),
        Column(title="region"),
        Column(title="capacity"),
        Column(title="from", right=True, from_columns=96),
        Column(title="$/h", right=True),
        Column(title="to", right=True),
        Column(title="$/h", right=True),
        Column(title="change", right=True),
        Column(title="prices", right=True, from_columns=112),
        Column(title="over time", keep=True),
    )
    groups = rows.partition_by("cloud", "region", "capacity_type", maintain_order=True)
    groups.sort(key=lambda group: -group.height)  # stable: the series that show a change come first
    shown = groups[: limit or TABLE_ROWS]
    drawn = table.draw(columns, [_history_cells(group) for group in shown], terminal)
    return f"{drawn}\nshown {len(shown)} of {len(groups)} series · {rows.height} dated prices; --json lists each\n"


def check_table(findings: Sequence[Finding], terminal: Terminal) -> str:
    """One line per rule."""
    columns = (
        Column(title="rule", fold=True),
        Column(title="answer"),
        Column(title="rows", right=True),
        Column(title="which", fold=True),
    )
    return table.draw(
        columns, [(found.rule, found.level, f"{found.num_rows:,}", found.detail) for found in findings], terminal
    )


def as_json(value: object) -> str:
    """JSON text; dates as YYYY-MM-DD."""
    return json.dumps(value, indent=1, default=str, ensure_ascii=False, allow_nan=False) + "\n"


def _gpus(offer: dict[str, Any]) -> str:
    return "-" if offer["gpu"] is None else f"{table.number(offer['num_gpus'])} × {offer['gpu']}"


def _history_cells(group: pl.DataFrame) -> tuple[str, ...]:
    first, last = group.row(0, named=True), group.row(-1, named=True)
    change = last["usd_per_hour"] / first["usd_per_hour"] - 1
    return (
        first["cloud"],
        first["region"],
        first["capacity_type"],
        str(first["as_of"]),
        table.dollars(first["usd_per_hour"]),
        str(last["as_of"]),
        table.dollars(last["usd_per_hour"]),
        f"{change:+.0%}" if group.height > 1 else "-",
        str(group.height),
        table.sparkline(group["usd_per_hour"].to_list()),
    )
