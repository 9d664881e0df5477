"""Data and evaluation: what an accepted triple and a solved task cost, and whether the data stays diverse."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import charts, data, ui
from app.view import View
from clusterctl.ledger.rows import Run
from clusterctl.ui import formats
from planners.plan.value import Plan

DIVERSITY = {"near duplicates": "near_duplicate_share", "distinct n-grams": "distinct_ngram_share"}


def total(rows: pl.DataFrame, column: str) -> float | None:
    """Sum over the parts of a run; None where the job does not report it."""
    return float(rows[column].sum()) if column in rows.columns and rows[column].null_count() < rows.height else None


def per(view: View, run: Run, amount: float | None, *, times: int = 1) -> str:
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


def synthesis(view: View, run: Run, plan: Plan | None, rows: pl.DataFrame) -> None:
    """Dollars per accepted triple, the yield of each filter, and diversity."""
    accepted, written, tokens = (total(rows, name) for name in ("items_accepted", "items_written", "teacher_tokens"))
    with ui.figures():
        in_all = ui.usd(data.bill(view.data, run.run_id).usd)
        ui.figure("accepted_usd", per(view, run, accepted), delta=planned(plan, "per accepted item"), usd=in_all)
        ui.figure("accepted", ui.number(accepted, places=0), delta=f"of {ui.number(written, places=0)} written")
        millions = formats.UNKNOWN if tokens is None else f"{tokens / 1e6:,.1f} M"
        ui.figure("teacher_tokens", millions, delta=f"{per(view, run, tokens, times=1_000_000)} per million")
    yields(plan, rows)
    shares = {name: column for name, column in DIVERSITY.items() if column in rows.columns}
    if shares:
        title = "Diversity: near duplicates rising and distinct n-grams falling is a collapse"
        charts.lines(title, rows, shares, axis="share", x="step")
    else:
        ui.gap("Diversity", "the job reports neither near duplicates nor distinct n-grams")


def yields(plan: Plan | None, rows: pl.DataFrame) -> None:
    """What each filter keeps, against what the spec assumed."""
    filters = {name.removeprefix("yield_"): name for name in rows.columns if name.startswith("yield_")}
    if not filters:
        ui.gap("Yield per filter", "the job does not report it")
        return
    spec = (plan.spec["stages"][0].get("yields") or {}) if plan else {}
    shares = [(name, data.mean(rows, column, rows.height), spec.get(name)) for name, column in filters.items()]
    table = pl.DataFrame(shares, schema=["filter", "kept", "planned"], orient="row")
    left, right = st.columns(2)
    with left:
        st.caption("Yield per filter")
        ui.table("yields", table.with_columns(pl.col("kept", "planned") * 100))
    with right:
        lines = {name.replace("_", " "): column for name, column in filters.items()}
        charts.lines("Yield over the batches", rows, lines, x="step")


def evaluation(view: View, run: Run, plan: Plan | None, rows: pl.DataFrame) -> None:
    """Dollars per benchmark run and per solved task."""
    tasks, solved = total(rows, "tasks"), total(rows, "solved")
    with ui.figures():
        usd = ui.usd(data.bill(view.data, run.run_id).usd)
        ui.figure("evaluation", usd, delta=ui.number(tasks, "tasks", 0))
        ui.figure("task_usd", per(view, run, tasks), delta=planned(plan, "per evaluated sample"))
        ui.figure("solved_usd", per(view, run, solved), delta=planned(plan, "per solved task"))
        share = formats.percent(None if not tasks or solved is None else solved / tasks)
        ui.figure("solved", share, delta=f"{ui.number(solved, places=0)} of {ui.number(tasks, places=0)}")


def reports(view: View, run: Run) -> bool:
    """Whether the run makes data or evaluates."""
    return bool({"items_accepted", "solved"} & set(data.step_rows(view.data, run.run_id).columns))


def body(view: View) -> None:
    """The page: the chosen run, or the newest ones that make data or evaluate."""
    chosen = (
        [view.run]
        if view.run and reports(view, view.run)
        else [run for run in data.runs(view.data) if reports(view, run)]
    )
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
                draw(view, run, plan, rows.drop_nulls(column))


ui.live(body)
