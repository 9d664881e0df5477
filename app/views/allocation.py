"""Allocation: who used the money and for what; idle and shared cost by a stated formula; spot and reservations."""

from __future__ import annotations

from functools import partial

import polars as pl
import streamlit as st

from app import accounts, charts, data, fleet, trends, ui
from app.view import View
from clusterctl.costs.focus_file import focus_bytes, focus_rows
from clusterctl.costs.queries import COLUMNS, LABEL, split
from clusterctl.ui import formats
from planners.costs.cost_tables import Purpose
from planners.costs.rounding import rounded
from planners.costs.spend import by

MOST_ROWS = 15
CENTS = pl.Decimal(38, 2)
EXACT = {"exact": "usd", "idle_usd": "idle_usd"}
"""Column in cents that add up → column of dollars that it is rounded from."""
FORMULA = (
    "A machine's cost is split by GPU-seconds: busy and idle go to the run and role that held the GPU; what nobody"
    " measured stays with the run that pays. Cost that serves all roles of a run is spread over them in proportion to"
    " their own. Idle cost is never spread. The parts add up to the whole to the cent."
)
REASONS = {name: words for name, (words, _) in charts.STATES.items()}
CSV_HELP = "The whole table in its own words. Text that a spreadsheet would run as a formula has a ' before it."
FOCUS_VERSION = "1.2"
FOCUS_HELP = (
    f"The window in FOCUS {FOCUS_VERSION}, the format of FinOps tools: a row per resource, use and month. Without what"
    " has no price, which FOCUS can't say, and without estimates of GPUs that no run pays for."
)
LOUD_SHARE = 0.1
"""Idle dollars above this share are coloured."""


def totals(view: View, parts: pl.DataFrame) -> None:
    """What the money of the window went to, and the whole of it."""
    whole, lacking = accounts.usd(parts), bool(parts["usd"].has_nulls())
    with ui.figures():
        all_of_it, missing = ui.at_least(None if lacking else whole, whole), "some prices are unknown"
        words = {"formula": FORMULA}
        ui.moving_figure(
            "in_window",
            all_of_it,
            trends.paid(view),
            delta=missing if lacking else "the whole window",
            bad=lacking or None,
            less_is_good=True,
            words=words,
        )
        for purpose, (_, meaning) in ui.LABELS["purposes"].items():
            mine = parts.filter(pl.col("use") == purpose)
            if mine.height:
                purpose_figure(view, Purpose(purpose), mine, float(whole), words | {"meaning": meaning})


def purpose_figure(view: View, purpose: Purpose, mine: pl.DataFrame, whole: float, words: dict[str, str]) -> None:
    """Dollars for one purpose.  Whether more of it is bad is known of what nobody works with."""
    amount = accounts.usd(mine)
    share = float(amount) / whole if whole else None
    loud = purpose == Purpose.IDLE and share is not None and share > LOUD_SHARE
    ui.moving_figure(
        "purpose",
        ui.at_least(None if mine["usd"].has_nulls() else amount, amount),
        trends.paid(view, purpose),
        delta=f"{'no share' if share is None else formats.percent(share)} of the window",
        bad=loud or None,
        less_is_good=None if purpose == Purpose.BUSY else True,
        words=words | {"purpose": ui.LABELS["purposes"][purpose][0]},
    )


def per_day(view: View) -> None:
    """Dollars of each day of the viewer's zone, where the window touches several."""
    rows = trends.daily(view)
    if rows.height < 2:
        return
    texts = [
        ui.at_least(None if unpriced else usd, usd)
        for usd, unpriced in rows.select("known_usd", "unpriced").iter_rows()
    ]
    st.subheader("Cost per day", anchor=False)
    st.caption(f"Days of {ui.md(ui.zone().key)}; the exact sums of what was charged between two midnights")
    charts.days(
        rows.with_columns(
            name=pl.col("day").dt.strftime("%-d %b"),
            text=pl.Series(texts, dtype=pl.String),
            part=pl.when("whole").then(pl.lit("whole day")).otherwise(pl.lit("part of the day")),
        )
    )


def grouped(view: View, parts: pl.DataFrame, keys: list[str]) -> None:
    """Dollars by the chosen columns: picture of the largest, table of all."""
    columns, rows = split(data.ledger(view.data), parts, keys, labels=fleet.labels(view).pods)
    told = [column for column in columns if rows[column].n_unique() > 1] or columns[:1]
    worded = rows.with_columns(pl.col("reason").replace(REASONS)) if "reason" in columns else rows
    words = [pl.col(column) if column == "reason" else pl.col(column).fill_null("none") for column in told]
    worded = worded.with_columns(
        *(pl.Series(name, rounded(rows[of].to_list(), 2), dtype=CENTS) for name, of in EXACT.items()),
        name=pl.concat_str(words, separator=" · ", ignore_nulls=True),
        share=pl.col("share") * 100,
    )
    top = worded.head(MOST_ROWS)
    texts = [ui.at_least(usd, known) for usd, known in top.select("usd", "known_usd").iter_rows()]
    top = top.with_columns(pl.col("known_usd").cast(pl.Float64), text=pl.Series(texts))
    charts.bars(top, value="known_usd", label="name", text="text")
    if rows.height > MOST_ROWS:
        st.caption(f"The {MOST_ROWS} largest of {rows.height:,}; the table has all")
    columns = ["exact", *columns]  # on a phone the first columns are those that are seen
    ui.table("allocation", worded.head(1000), first=columns)
    with st.container(horizontal=True, gap="small"):
        text, icon = ui.table_csv("allocation", worded, first=columns), ":material/download:"
        st.download_button("CSV", text, "allocation.csv", "text/csv", icon=icon, help=CSV_HELP, on_click="ignore")
        focus, name = partial(focus_csv, view), f"focus-{view.start:%Y%m%d}-{view.end:%Y%m%d}.csv"
        st.download_button("FOCUS", focus, name, "text/csv", icon=icon, help=FOCUS_HELP, on_click="ignore")


def focus_csv(view: View) -> bytes:
    """What runs paid in the window, in the FOCUS format; made when somebody asks for it."""
    ledger, store = data.ledger(view.data), data.store(view.data)
    rows, _ = focus_rows(ledger, store, FOCUS_VERSION, run=view.run_id, since=view.start, until=view.end)
    return focus_bytes(rows, parquet=False)


def capacity(parts: pl.DataFrame) -> None:
    """Spot and reservations: what there was of either."""
    kinds = set(parts["capacity_type"].drop_nulls().unique())
    st.subheader("Spot and reservations", anchor=False)
    if not kinds & {"spot", "reserved"} and parts.filter(pl.col("use") == Purpose.UNUSED).is_empty():
        ui.gap("Spot and reservations", "everything in this window was bought on demand")
    else:
        ui.table("capacity", by(parts.filter(pl.col("capacity_type").is_not_null()), "capacity_type"))


def body(view: View) -> None:
    found = accounts.account(view)
    ui.problems(found.problems)
    if found.parts.is_empty():
        ui.gap("Costs", "nothing was paid in this window")
        return
    ui.guarded(ui.estimates, view)
    totals(view, found.parts)
    trends.why_none(view)
    ui.guarded(per_day, view)
    st.caption("Split by the columns above", help=FORMULA)
    ui.guarded(grouped, view, found.parts, keys)
    ui.guarded(capacity, found.parts)
    st.caption("The same on the command line, and for spreadsheets and FinOps tools: `clusterctl cost`.")


def chosen() -> list[str]:
    """What the viewer wants to split by."""
    view = data.current()
    runs = data.runs(view.data)
    names = {name for run in runs for name in run.labels}
    names |= {name for found in fleet.labels(view).pods.values() for name in found}
    options = list(dict.fromkeys([*COLUMNS, *sorted(f"{LABEL}{name}" for name in names)]))
    usual = ["team", "role", "use"] if runs else ["namespace", "pod", "use"]
    return st.multiselect("Split by", options, default=usual, **ui.kept("by")) or ["run"]


keys = chosen()
ui.live(body)
