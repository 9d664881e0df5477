"""What people read of a run: steps, events, the bill, what was saved.  Times are in the reader's zone.

`status` as people read it: a table of runs, or all about one; below each what is wrong and what fixes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clusterctl.ledger.rows import Event, Step
from clusterctl.runs.bill import BillLine
from clusterctl.runs.folder import RunFolder
from clusterctl.runs.preflight import RunLimits
from clusterctl.runs.status import RunState
from clusterctl.runs.up import Launch, UpAction
from clusterctl.ui.formats import UNKNOWN, charged_usd, elapsed, size, unit_price, when
from clusterctl.ui.spans import Line, Span, Style, line, paint, wrap
from clusterctl.ui.streams import printable
from clusterctl.ui.table import Cell, cell, draw, draw_text, right
from clusterctl.ui.terminal import Terminal
from planners.plan.value import Plan
from planners.runs.limits import Usage, idle_seconds

METRIC_WORDS = {
    "reward": "reward",
    "pass_at_1_visible": "pass@1",
    "pass_at_1_hidden": "hidden",
    "visible_hidden_gap": "gap",
}
"""Of a step's metrics, those that a line has room for, and what it calls them; `--json` holds all."""


def preview_text(plan: Plan, launch: Launch, limits: RunLimits, use: Usage, last: Step | None) -> str:
    """What `up` will do, and the money."""
    deed = {UpAction.START: "starts", UpAction.RESUME: "goes on with", UpAction.FOLLOW: "follows"}[launch.deed]
    rows = [f"{plan.name}: plan {plan.id}; {deed} {launch.run_id}"]
    mark = "+" if launch.deed is UpAction.START else " "
    rows += [f"  {mark} {p.role}: {p.nodes} × {p.instance_type} ({p.cloud})" for p in plan.pools]
    least = "at least " if plan.at_least else ""
    hour = UNKNOWN if plan.at_least or plan.usd_per_hour is None else unit_price(plan.usd_per_hour)
    usd = [charged_usd(value) for value in (plan.usd.p50, plan.usd.p10, plan.usd.p90)]
    took = [elapsed(3600 * value) for value in (plan.hours.p50, plan.hours.p10, plan.hours.p90)]
    money = f"{least}{usd[0]} (P10 {usd[1]}, P90 {usd[2]})" if plan.usd.p90 or not plan.at_least else "unknown"
    rows += [f"  dollars  {money}; an hour costs {hour}", f"  time     {took[0]} (P10 {took[1]}, P90 {took[2]})"]
    if launch.deed is not UpAction.START:
        done = f"step {last.step} of {last.of}" if last else "no step done"
        spent = charged_usd(None if use.unpriced else use.priced_usd, known=use.priced_usd)
        rows.append(f"  so far   {done}, {spent}, {elapsed(float(use.hours) * 3600)}")
    idle = plan.spec.get("limits", {}).get("idle_minutes")
    patience = idle_seconds(idle, max(stage.seconds_per_unit.p90 for stage in plan.stages))
    rows.append(f"  limits   {limits}; warns at 80 %, stops at 100 %, or after {elapsed(patience)} idle")
    return "\n".join(rows)


def metrics_text(metrics: Mapping[str, float | None]) -> str:
    """`reward 0.41  pass@1 38 %  hidden 31 %  gap 7 %`; other jobs' metrics by their own names."""
    words = METRIC_WORDS if METRIC_WORDS.keys() & metrics.keys() else {name: name.replace("_", " ") for name in metrics}
    found = ((name, word, metrics.get(name)) for name, word in words.items())
    return "  ".join(
        f"{word} {value:.2f}" if name not in METRIC_WORDS or name == "reward" else f"{word} {value:.0%}"
        for name, word, value in found
        if value is not None
    )


def step_text(step: Step) -> str:
    """`step 12/40  reward 0.41  pass@1 38%  hidden 31%`"""
    return f"step {step.step:>{len(str(step.of))}}/{step.of}  {metrics_text(step.metrics)}"


def event_text(event: Event) -> str:
    """`20:14:03  launch  trainer: wanted`"""
    return f"{event.at.astimezone():%H:%M:%S}  {event.kind:<7} {printable(event.message)}"


def bill_text(lines: Sequence[BillLine], done: Step | None, *, columns: int = 80) -> str:
    """Planned against actual, a line each; what nobody knows says so, with what is known of it below.

    done: the last step; None = none was finished.
    """
    totals = [line for line in lines if line.kind != "phase"]
    phases = [line for line in lines if line.kind == "phase"]
    rows = [_bill_row(line) for line in totals] + ([["", "", "", ""]] if phases else []) + list(map(_bill_row, phases))
    heads = ("", right("planned"), right("actual"), right("ratio"))
    text = draw_text(heads, rows, Terminal(columns=columns, colour=False, interactive=False))
    if done is not None and done.step < done.of:
        text += f"\nIt did {done.step} of {done.of} steps; what is planned is for all of them.\n"
    total = next(line for line in lines if line.kind == "total")
    if total.actual is None:
        text += f"\nA price is not known; what has one comes to {charged_usd(total.known or 0.0)}.\n"
    return text.rstrip("\n")


def _bill_row(line: BillLine) -> list[str]:
    ratio = f"{line.actual / line.planned:.2f}" if line.planned and line.actual is not None else "-"
    return [line.name, _amount(line.planned, line.unit), _amount(line.actual, line.unit), ratio]


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return UNKNOWN
    return charged_usd(value) if unit == "USD" else f"{value:,.3g} {unit}"


def saved_text(folder: RunFolder) -> str:
    """Where logs and results lie, and what is there."""
    files = [file for file in sorted(folder.path.glob("*")) if file.is_file() and file.suffix not in {".lock", ".port"}]
    kept = [f"{file.name} {size(file.stat().st_size)}" for file in files if file.name not in {"ended", "beat.json"}]
    logs = sum(1 for _ in folder.logs.glob("*.log"))
    return f"saved in {folder.path}: {', '.join(kept) or 'nothing'}, {logs} logs"


COLUMNS = ("run", "state", "step", "since", "for", "left", "cost", "at end")
STATE_STYLES = {"running": Style.GOOD, "finished": Style.GOOD, "failed": Style.BAD}
"""Green goes as it should, red failed; what ends or was ended is yellow."""


def table(states: Sequence[RunState], at: Terminal) -> str:
    """A line for each run, below it what is wrong."""
    head, *lines = draw(COLUMNS, [_cells(state) for state in states], at.columns, indent=0)
    shown = [head]
    for drawn, state in zip(lines, states, strict=True):
        shown += [drawn, *problem_lines(state, at)]
    return paint(shown, colour=at.colour).rstrip("\n")


def _state_style(state: RunState) -> Style:
    return STATE_STYLES.get(state.row.state, Style.WARN)


def _cells(state: RunState) -> list[Cell]:
    ahead, money, row = state.outlook, state.spending, state.row
    return [
        row.run_id,
        cell(row.state, _state_style(state)),
        f"{ahead.done}/{ahead.of}",
        when(row.started_at, state.now) if row.started_at else "-",
        elapsed(float(money.hours) * 3600),
        elapsed(ahead.seconds_left) if state.is_live else "-",
        charged_usd(money.usd, known=money.known_usd),
        charged_usd(ahead.usd_at_end) if state.is_live else "-",
    ]


def page(state: RunState, at: Terminal) -> str:
    """All about one run."""
    row, ahead, money = state.row, state.outlook, state.spending
    share = ahead.done / ahead.of if ahead.of else 0.0
    began = f"since {when(row.started_at, state.now)}" if row.started_at else "not started yet"
    ended = f", ended {when(row.ended_at, state.now)}" if row.ended_at else ""
    left = ""
    if ahead.overdue_seconds:
        left = f"; no step for {elapsed(ahead.overdue_seconds)}"
    elif state.ends_at is not None:
        left = f", about {elapsed(ahead.seconds_left)} left: done at {when(state.ends_at, state.now)}"
    cost = f"{charged_usd(money.usd, known=money.known_usd)} so far"
    if state.is_live:
        cost += f", about {charged_usd(ahead.usd_at_end)} at the end"
    rows = {
        "when": f"{began}{ended}; it ran {elapsed(float(money.hours) * 3600)}",
        "step": f"{ahead.done} of {ahead.of} ({share:.0%}){left}",
        "metrics": metrics_text(state.step.metrics) if state.step else "none yet",
        "cost": cost,
        "plan": f"{charged_usd(state.planned_usd)}, {elapsed(state.planned_hours * 3600)}; "
        f"an hour costs {unit_price(money.usd_per_hour)}",
        "limits": _limits(state),
        "live": ", ".join(state.roles) or "nothing",
    }
    title = line(f"{row.run_id}  ", Span(row.state, _state_style(state)), f"  on {row.target}, plan {row.plan_id}")
    problems = problem_lines(state, at) or [line("  nothing is wrong")]
    about = [line(f"  {name:<8} {text}") for name, text in rows.items()]
    return paint([title, *about, *problems], colour=at.colour).rstrip("\n")


def _limits(state: RunState) -> str:
    money = state.spending
    shown = []
    if money.limit_usd:
        shown.append(f"{unit_price(money.limit_usd)} ({money.known_usd / money.limit_usd:.0%} used)")
    if money.limit_hours:
        shown.append(f"{money.limit_hours.normalize():f} h ({money.hours / money.limit_hours:.0%} used)")
    return ", ".join(shown) or "none"


def problem_lines(state: RunState, at: Terminal) -> list[Line]:
    """What is wrong, and the command that fixes it, on lines of their own."""
    lines: list[Line] = []
    for problem in state.problems:
        lines += wrap(line(Span(f"  ! {problem.what}", Style.WARN)), at.columns, indent=4)
        lines += [line(f"    {problem.fix}")] if problem.fix else []
    return lines
