"""What a refresh changed, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict

from clusterctl.console import Terminal
from clusterctl.prices import table
from clusterctl.prices.refresh.run import Report
from clusterctl.prices.show import SCHEMA, as_json
from clusterctl.prices.table import Column

MOVERS_SHOWN = 10
MOVERS_IN_JSON = 100


def report_text(report: Report, notes: tuple[str, ...], terminal: Terminal) -> str:
    """Counts per cloud, the biggest movers, where the book is."""
    counts = ("read", "added", "removed", "cheaper", "dearer", "same", "kept old")
    text = table.draw(
        (Column(title="cloud"), *(Column(title=title, right=True) for title in counts)),
        [
            (
                found.cloud,
                *(
                    f"{count:,}"
                    for count in (
                        found.num_read,
                        found.num_added,
                        found.num_removed,
                        found.num_cheaper,
                        found.num_dearer,
                        found.num_same,
                        found.num_kept_old,
                    )
                ),
            )
            for found in report.changes
        ],
        terminal,
    )
    if report.movers.height:
        text += f"\nbiggest changes ({min(MOVERS_SHOWN, report.movers.height)} of {report.movers.height:,}):\n"
        text += _movers(report, terminal)
    said = [f"{found.cloud}: {note}" for found in report.changes for note in found.notes]
    where = "dry run: nothing written" if report.book is None else f"new book: {report.book}"
    return text + "\n" + "\n".join([*notes, *report.notes, *said, where]) + "\n"


def report_json(report: Report, notes: tuple[str, ...]) -> str:
    """The report as JSON."""
    return as_json(
        {
            "schema": SCHEMA,
            "book": report.book,
            "clouds": [asdict(found) for found in report.changes],
            "num_movers": report.movers.height,
            "movers": report.movers.head(MOVERS_IN_JSON).to_dicts(),
            "notes": [*notes, *report.notes],
        }
    )


def _movers(report: Report, terminal: Terminal) -> str:
    columns = (
        Column(title="cloud"),
        Column(title="region"),
        Column(title="instance", fold=True),
        Column(title="capacity"),
        Column(title="was $/h", right=True),
        Column(title="now $/h", right=True),
        Column(title="change", right=True),
    )
    rows = [
        (
            row["cloud"],
            row["zone"] or row["region"],
            row["instance_type"],
            row["capacity_type"],
            table.dollars(row["old_usd_per_hour"]),
            table.dollars(row["usd_per_hour"]),
            f"{row['change_ratio']:+.1%}",
        )
        for row in report.movers.head(MOVERS_SHOWN).iter_rows(named=True)
    ]
    return table.draw(columns, rows, terminal)
