"""What a refresh changed, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from clusterctl.console import Terminal
from clusterctl.prices.refresh.merge import Changes
from clusterctl.prices.refresh.run import Report
from clusterctl.prices.show import CAPACITY, CLOUD, INSTANCE, REGION, SCHEMA, as_json, dollars, draw
from clusterctl.show.table import Column, right

MOVERS_SHOWN = 10
MOVERS_IN_JSON = 100
MOVER_COLUMNS = (CLOUD, REGION, INSTANCE, CAPACITY, right("was $/h"), right("now $/h"), right("change"))


def report_text(report: Report, notes: tuple[str, ...], terminal: Terminal) -> str:
    """Counts per cloud, the biggest movers, where the book is."""
    counts = [field.name for field in fields(Changes) if field.name.startswith("num_")]
    columns = (Column("cloud"), *(right(name.removeprefix("num_").replace("_", " ")) for name in counts))
    text = draw(
        columns, [(each.cloud, *(f"{getattr(each, n):,}" for n in counts)) for each in report.changes], terminal
    )
    if report.movers.height:
        text += f"\nbiggest changes ({min(MOVERS_SHOWN, report.movers.height)} of {report.movers.height:,}):\n"
        text += draw(MOVER_COLUMNS, [_mover(row) for row in report.movers.head(MOVERS_SHOWN).to_dicts()], terminal)
    said = [f"{found.cloud}: {note}" for found in report.changes for note in found.notes]
    where = "dry run: nothing written" if report.book is None else f"new book: {report.book}"
    return text + "\n" + "\n".join([*notes, *report.notes, *said, where]) + "\n"


def _mover(row: dict[str, Any]) -> list[str]:
    place = [row["cloud"], row["zone"] or row["region"], row["instance_type"], row["capacity_type"]]
    return [*place, dollars(row["old_usd_per_hour"]), dollars(row["usd_per_hour"]), f"{row['change_ratio']:+.1%}"]


def report_json(report: Report, notes: tuple[str, ...]) -> str:
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
