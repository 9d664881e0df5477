"""Price rows for people (tables) and for programs (JSON).  An unknown value is `unknown` or null, never 0.

What a refresh changed, for people and for programs.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import date
from typing import Any

import polars as pl

from clusterctl.catalog.check_book import Finding
from clusterctl.catalog.refresh.merge import PriceChanges
from clusterctl.catalog.refresh.refresh_book import RefreshReport
from clusterctl.json_text import json_text
from clusterctl.ui.formats import UNKNOWN, number, unit_price, usd
from clusterctl.ui.table import Column, draw_text, right
from clusterctl.ui.terminal import Terminal
from planners.domain import QUALITY_WORDS

SCHEMA = "clusterctl.prices/1"
TABLE_ROWS = 20
Offer = dict[str, Any]
"""A polars row of mixed types."""

CLOUD, REGION, AGE, GPUS = Column("cloud"), Column("region"), right("age"), Column("GPUs")
CAPACITY, INSTANCE, QUALITY = Column("capacity"), Column("instance", prose=True), Column("quality", drop=4)
HOUR, GPU_HOUR, TIMES = right("$/h"), right("$/GPU-h"), right("× cheapest", drop=1)
MACHINE = (GPUS, right("vCPU", drop=1), right("GiB", drop=2))
ZONE, SOURCE = Column("zone", drop=3), Column("source", drop=5, prose=True)
LIST_COLUMNS = (CLOUD, REGION, ZONE, INSTANCE, CAPACITY, *MACHINE, HOUR, GPU_HOUR, AGE, QUALITY, SOURCE)
COMPARE_COLUMNS = (CLOUD, REGION, CAPACITY, INSTANCE, GPUS, GPU_HOUR, TIMES, right("$/h", drop=2), AGE, QUALITY)
TEXTS: dict[str, Callable[[Offer], str]] = {
    "zone": lambda offer: offer["zone"] or "-",
    "instance": lambda offer: offer["instance_type"],
    "capacity": lambda offer: offer["capacity_type"],
    "GPUs": lambda offer: "-" if offer["gpu"] is None else f"{number(offer['num_gpus'])} × {offer['gpu']}",
    "vCPU": lambda offer: number_or_dash(offer["vcpus"]),
    "GiB": lambda offer: number_or_dash(offer["memory_gib"]),
    "$/h": lambda offer: unit_price(offer["usd_per_hour"]),
    "$/GPU-h": lambda offer: "-" if offer["gpu"] is None else usd(offer["usd_per_gpu_hour"]),
    "× cheapest": lambda offer: UNKNOWN if offer["times_cheapest"] is None else f"{offer['times_cheapest']:.2f}",
    "age": lambda offer: age(offer["age_days"]),
    "quality": lambda offer: QUALITY_WORDS.get(offer["quality"], str(offer["quality"])),
}
"""Title of a column → what it says of an offer; the others say the field of their name."""
ENDS = (right("from", drop=2), HOUR, right("to"), HOUR, right("change"), right("prices", drop=3))
HISTORY_COLUMNS = (Column("cloud", drop=1), REGION, CAPACITY, *ENDS, Column("over time"))


def offers_table(
    rows: pl.DataFrame, priced_at: tuple[date, date], terminal: Terminal, *, limit: int | None, compare: bool = False
) -> str:
    """A table of a listing or comparison with a line that says how much of it is shown."""
    dated = f"prices of {priced_at[0]} to {priced_at[1]}"
    if rows.is_empty():
        return f"no offer in the price book matches · {dated}\n"
    shown = rows.head(limit or TABLE_ROWS)
    columns = COMPARE_COLUMNS if compare else LIST_COLUMNS
    cells = [[_text(column.title, offer) for column in columns] for offer in shown.iter_rows(named=True)]
    unknown = rows["usd_per_hour"].null_count()
    notes = [f"shown {shown.height:,} of {rows.height:,} offers", dated]
    notes += [f"{unknown} without a known price"] if unknown else []
    return f"{draw_text(columns, cells, terminal)}\n{textwrap.fill(' · '.join(notes), terminal.columns)}\n"


def offers_json(rows: pl.DataFrame, priced_at: tuple[date, date], *, limit: int | None) -> str:
    """The listing as JSON: schema id, dates, how many rows there are, and the rows."""
    shown = rows if limit is None else rows.head(limit)
    dates = {"oldest": priced_at[0], "newest": priced_at[1]}
    return as_json({"schema": SCHEMA, "priced_at": dates, "num_offers": rows.height, "offers": shown.to_dicts()})


def history_table(rows: pl.DataFrame, terminal: Terminal, *, limit: int | None) -> str:
    """One line per region and capacity type: first and last price, change, and the price over time."""
    groups = rows.partition_by("cloud", "region", "capacity_type", maintain_order=True)
    groups.sort(key=lambda group: -group.height)  # stable: the series that show a change come first
    shown = groups[: limit or TABLE_ROWS]
    drawn = draw_text(HISTORY_COLUMNS, [_history_cells(group) for group in shown], terminal)
    return f"{drawn}\nshown {len(shown)} of {len(groups)} series · {rows.height} dated prices; --json lists each\n"


def check_table(findings: Sequence[Finding], terminal: Terminal) -> str:
    """One line per rule."""
    columns = (Column("rule", prose=True), Column("answer"), right("rows"), Column("which", prose=True))
    rows = [(found.rule, found.level, f"{found.num_rows:,}", found.detail) for found in findings]
    return draw_text(columns, rows, terminal)


def as_json(value: object) -> str:
    """JSON text; dates as YYYY-MM-DD."""
    return json_text(value, indent=1, ensure_ascii=False) + "\n"


def age(days: int | None) -> str:
    """`12 d`, `19 mo`, `unknown`."""
    if days is None:
        return UNKNOWN
    return f"{days} d" if days < 90 else f"{days / 30.44:.0f} mo"


def sparkline(values: Sequence[float]) -> str:
    """One character per value, lowest to highest."""
    low, high = min(values), max(values)
    if high == low:
        return "▄" * len(values)
    return "".join("▁▂▃▄▅▆▇█"[round((value - low) / (high - low) * 7)] for value in values)


def number_or_dash(value: float | None) -> str:
    """A count or size; `-` for what a machine doesn't have."""
    return "-" if value is None else number(value)


def _text(title: str, offer: Offer) -> str:
    return TEXTS[title](offer) if title in TEXTS else str(offer[title])


def _history_cells(group: pl.DataFrame) -> list[str]:
    first, last = group.row(0, named=True), group.row(-1, named=True)
    change = f"{last['usd_per_hour'] / first['usd_per_hour'] - 1:+.0%}" if group.height > 1 else "-"
    ends = [text for end in (first, last) for text in (str(end["as_of"]), unit_price(end["usd_per_hour"]))]
    place = [first["cloud"], first["region"], first["capacity_type"]]
    return [*place, *ends, change, str(group.height), sparkline(group["usd_per_hour"].to_list())]


MOVERS_SHOWN = 10
MOVERS_IN_JSON = 100
MOVER_COLUMNS = (CLOUD, REGION, INSTANCE, CAPACITY, right("was $/h"), right("now $/h"), right("change"))


def report_text(report: RefreshReport, notes: tuple[str, ...], terminal: Terminal) -> str:
    """Counts per cloud, the biggest movers, where the book is."""
    counts = [field.name for field in fields(PriceChanges) if field.name.startswith("num_")]
    columns = (Column("cloud"), *(right(name.removeprefix("num_").replace("_", " ")) for name in counts))
    text = draw_text(
        columns, [(each.cloud, *(f"{getattr(each, n):,}" for n in counts)) for each in report.changes], terminal
    )
    if report.movers.height:
        text += f"\nbiggest changes ({min(MOVERS_SHOWN, report.movers.height)} of {report.movers.height:,}):\n"
        text += draw_text(MOVER_COLUMNS, [_mover(row) for row in report.movers.head(MOVERS_SHOWN).to_dicts()], terminal)
    said = [f"{found.cloud}: {note}" for found in report.changes for note in found.notes]
    where = "dry run: nothing written" if report.book is None else f"new book: {report.book}"
    return text + "\n" + "\n".join([*notes, *report.notes, *said, where]) + "\n"


def _mover(row: dict[str, Any]) -> list[str]:
    place = [row["cloud"], row["zone"] or row["region"], row["instance_type"], row["capacity_type"]]
    return [*place, unit_price(row["old_usd_per_hour"]), unit_price(row["usd_per_hour"]), f"{row['change_ratio']:+.1%}"]


def report_json(report: RefreshReport, notes: tuple[str, ...]) -> str:
    """The report as JSON."""
    clouds, movers = [asdict(found) for found in report.changes], report.movers.head(MOVERS_IN_JSON).to_dicts()
    return as_json(
        {
            "schema": SCHEMA,
            "book": report.book,
            "clouds": clouds,
            "num_movers": report.movers.height,
            "movers": movers,
            "notes": [*notes, *report.notes],
        }
    )
