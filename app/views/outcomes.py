"""Data and evaluation: what an accepted triple and a solved task cost, and whether the data stays diverse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import streamlit as st

from app import charts, data, ui
from clusterctl.ui import formats

if TYPE_CHECKING:
    from clusterctl.ledger.rows import Run
    from planners.plan.value import Plan

view: data.View = st.session_state["view"]


def total(rows: pl.DataFrame, column: str) -> float | None:
    """Sum over the parts of a run; None where the job does not report it."""
    return float(rows[column].sum()) if column in rows.columns and rows[column].null_count() < rows.height else None


def per(run: Run, amount: float | None, *, times: int = 1) -> str:
    """Dollars of the run per unit."""
    bill = data.bill(view.data, run.run_id)
    return formats.UNKNOWN if bill.usd is None or not amount else ui.usd(float(bill.usd) * times / amount, cents=True)


def planned(plan: Plan | None, words: str) -> str:
    """What the plan said of the same figure."""
    found = [line for line in plan.economics if words in line.name] if plan else []
    if not found:
        return "not planned"
    least = "at least " if found[0].at_least and found[0].usd is not None else ""
    return f"planned {least}{ui.usd(found[0].usd, cents=True)}"


def synthesis(run: Run, plan: Plan | None, rows: pl.DataFrame) -> None:
    """Dollars per accepted triple, the yield of each filter, and diversity."""
    accepted, written = total(rows, "items_accepted"), total(rows, "items_written")
    formula = f"Bill of the run / accepted items. {ui.usd(data.bill(view.data, run.run_id).usd)} in all."
    with ui.figures():
        ui.figure("Per accepted triple", per(run, accepted), delta=planned(plan, "per accepted item"), help=formula)
        ui.figure(
            "Accepted",
            ui.number(accepted, places=0),
            delta=f"of {ui.number(written, places=0)} written",
            help="Items that passed every filter.",
        )
        tokens = total(rows, "teacher_tokens")
        ui.figure(
            "Teacher tokens",
            formats.UNKNOWN if tokens is None else f"{tokens / 1e6:,.1f} M",
            delta=f"{per(run, tokens, times=1_000_000)} per million",
            help="Tokens that the teacher wrote; bill of the run / tokens.",
        )
    filters = [name for name in rows.columns if name.startswith("yield_")]
    if not filters:
        ui.gap("Yield per filter", "the job does not report it")
    else:
        spec = (plan.spec["stages"][0].get("yields") or {}) if plan else {}
        shares = [
            (f.removeprefix("yield_"), data.mean(rows, f, rows.height), spec.get(f.removeprefix("yield_")))
            for f in filters
        ]
        table = pl.DataFrame(shares, schema=["filter", "kept", "planned"], orient="row").with_columns(
            (pl.col("kept", "planned") * 100).round(1)
        )
        left, right = st.columns(2)
        with left:
            st.caption("Yield per filter")
            ui.table(table, filter="filter", kept="kept %", planned="planned %")
        with right:
            values = {f.removeprefix("yield_").replace("_", " "): f for f in filters}
            st.caption("Yield over the batches")
            ui.legend(charts.line_colours(values))
            st.altair_chart(charts.lines(rows, values=values, title="", x="step", height=180))
    diversity(rows)


def diversity(rows: pl.DataFrame) -> None:
    """What collapses first."""
    values = {"near duplicates": "near_duplicate_share", "distinct n-grams": "distinct_ngram_share"}
    have = {name: column for name, column in values.items() if column in rows.columns}
    if not have:
        ui.gap("Diversity", "the job reports neither near duplicates nor distinct n-grams")
        return
    st.caption("Diversity: near duplicates rising and distinct n-grams falling is a collapse")
    ui.legend(charts.line_colours(have))
    st.altair_chart(charts.lines(rows, values=have, title="share", x="step", height=180))


def evaluation(run: Run, plan: Plan | None, rows: pl.DataFrame) -> None:
    """Dollars per benchmark run and per solved task."""
    tasks, solved = total(rows, "tasks"), total(rows, "solved")
    bill = data.bill(view.data, run.run_id)
    with ui.figures():
        ui.figure("This evaluation", ui.usd(bill.usd), delta=f"{ui.number(tasks, 'tasks', 0)}", help="Bill of the run.")
        ui.figure("Per task", per(run, tasks), delta=planned(plan, "per evaluated sample"), help="Bill / tasks.")
        ui.figure(
            "Per solved task", per(run, solved), delta=planned(plan, "per solved task"), help="Bill / solved tasks."
        )
        share = None if not tasks or solved is None else solved / tasks
        ui.figure(
            "Solved",
            formats.percent(share),
            delta=f"{ui.number(solved, places=0)} of {ui.number(tasks, places=0)}",
            help="Solved tasks / tasks so far.",
        )


def reports(run: Run) -> bool:
    """Whether the run makes data or evaluates."""
    return bool({"items_accepted", "solved"} & set(data.step_rows(view.data, run.run_id).columns))


def body() -> None:
    """The page: the chosen run, or the newest ones that make data or evaluate."""
    chosen = [view.run] if view.run and reports(view.run) else [run for run in data.runs(view.data) if reports(run)]
    if not chosen:
        ui.gap("Data and evaluation", "none of the newest runs reports accepted items or solved tasks")
    elif view.run and chosen != [view.run]:
        st.caption(f"{ui.md(view.run.run_id)} neither makes data nor evaluates; these do:")
    for run in chosen:
        rows = data.step_rows(view.data, run.run_id)
        plan = data.plan(view.data, run.plan_id) if run.plan_id else None
        for column, draw in (("items_accepted", synthesis), ("solved", evaluation)):
            if column in rows.columns:
                st.subheader(ui.md(run.run_id), anchor=False)
                draw(run, plan, rows.drop_nulls(column))


ui.live(body, again=view.live)
