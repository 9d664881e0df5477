"""What people read of a run: steps, events, the bill, what was saved.  Times are in the reader's zone.

`status` as people read it: a table of runs, or all about one; below each what is wrong and what fixes it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from clusterctl.ledger.rows import Event, Step
from clusterctl.runs.bill import BillLine
from clusterctl.runs.folder import RunFolder
from clusterctl.runs.preflight import RunLimits
from clusterctl.runs.status import RunState
from clusterctl.runs.up import Launch, UpAction
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
UNIT_BYTES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}


def preview_text(plan: Plan, launch: Launch, limits: RunLimits, use: Usage, last: Step | None) -> str:
    """What `up` will do, and the money."""
    deed = {UpAction.START: "starts", UpAction.RESUME: "goes on with", UpAction.FOLLOW: "follows"}[launch.deed]
    rows = [f"{plan.name}: plan {plan.id}; {deed} {launch.run_id}"]
    mark = "+" if launch.deed is UpAction.START else " "
    rows += [f"  {mark} {p.role}: {p.nodes} × {p.instance_type} ({p.cloud})" for p in plan.pools]
    least, hour = ("at least ", "unknown") if plan.at_least else ("", price_text(plan.usd_per_hour))
    usd = [usd_text(value) for value in (plan.usd.p50, plan.usd.p10, plan.usd.p90)]
    took = [duration_text(3600 * value) for value in (plan.hours.p50, plan.hours.p10, plan.hours.p90)]
    money = f"{least}{usd[0]} (P10 {usd[1]}, P90 {usd[2]})" if plan.usd.p90 or not plan.at_least else "unknown"
    rows += [f"  dollars  {money}; an hour costs {hour}", f"  time     {took[0]} (P10 {took[1]}, P90 {took[2]})"]
    if launch.deed is not UpAction.START:
        done = f"step {last.step} of {last.of}" if last else "no step done"
        spent = usd_text(None if use.unpriced else use.priced_usd, known=use.priced_usd)
        rows.append(f"  so far   {done}, {spent}, {duration_text(float(use.hours) * 3600)}")
    idle = plan.spec.get("limits", {}).get("idle_minutes")
    patience = idle_seconds(idle, max(stage.seconds_per_unit.p90 for stage in plan.stages))
    rows.append(f"  limits   {limits}; warns at 80 %, stops at 100 %, or after {duration_text(patience)} idle")
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
    return f"{event.at.astimezone():%H:%M:%S}  {event.kind:<7} {event.message}"


def duration_text(seconds: float) -> str:
    """`38 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def moment_text(moment: datetime, now: datetime) -> str:
    """`14:03` today, `Mon 14:03` within six days, else the date: in the reader's zone."""
    here, today = moment.astimezone(), now.astimezone()
    if here.date() == today.date():
        return f"{here:%H:%M}"
    return f"{here:%a %H:%M}" if today - here < timedelta(days=6) else f"{here:%Y-%m-%d}"


def usd_text(amount: Decimal | float | None, *, known: Decimal | float | None = None) -> str:
    """Dollars as exact as they are interesting; of an unknown amount what is known of it."""
    if amount is None:
        return "unknown" if not known else f"over {usd_text(known)}"
    return f"${amount:,.2f}" if amount >= 100 else f"${amount:,.4f}"


def price_text(amount: Decimal | float) -> str:
    """An amount that somebody has stated: `$0.08`, `$1`, `$0.0005`."""
    return f"${Decimal(str(amount)).normalize():,f}"


def size_text(size_bytes: int) -> str:
    """`569 KiB`."""
    for unit, num_bytes in UNIT_BYTES.items():
        if size_bytes >= num_bytes:
            return f"{size_bytes / num_bytes:.3g} {unit}"
    return f"{size_bytes} bytes"


def bill_text(lines: Sequence[BillLine], done: Step | None, *, columns: int = 80) -> str:
    """Planned against actual, a line each; what nobody knows says so, with what is known of it below.

    done: the last step; None = none was finished.
    """
    width = min(max(len(line.name) for line in lines), columns - 33)
    rows = [f"{'':<{width}} {'planned':>11} {'actual':>11} {'ratio':>7}"]
    kind = lines[0].kind
    for line in lines:
        if line.kind == "phase" and kind != "phase":
            rows.append("")
        kind = line.kind
        ratio = f"{line.actual / line.planned:.2f}" if line.planned and line.actual is not None else "-"
        planned, actual = (_amount(value, line.unit) for value in (line.planned, line.actual))
        name = line.name if len(line.name) <= width else line.name[: width - 1] + "…"
        rows.append(f"{name:<{width}} {planned:>11} {actual:>11} {ratio:>7}")
    if done is not None and done.step < done.of:
        rows.append(f"\nIt did {done.step} of {done.of} steps; what is planned is for all of them.")
    total = next(line for line in lines if line.kind == "total")
    if total.actual is None:
        rows.append(f"\nA price is not known; what has one comes to {usd_text(total.known or 0.0)}.")
    return "\n".join(rows)


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return usd_text(value) if unit == "USD" else f"{value:,.3g} {unit}"


def saved_text(folder: RunFolder) -> str:
    """Where logs and results lie, and what is there."""
    files = [file for file in sorted(folder.path.glob("*")) if file.is_file() and file.suffix not in {".lock", ".port"}]
    kept = [
        f"{file.name} {size_text(file.stat().st_size)}" for file in files if file.name not in {"ended", "beat.json"}
    ]
    logs = sum(1 for _ in folder.logs.glob("*.log"))
    return f"saved in {folder.path}: {', '.join(kept) or 'nothing'}, {logs} logs"


HEADER = ("RUN", "STATE", "STEP", "SINCE", "FOR", "LEFT", "COST", "AT END")
COLOURS = {"running": "32", "finished": "32", "failed": "31", "stopping": "33", "stopped": "33"}
"""SGR codes: green goes as it should, yellow ends or was ended, red failed."""
PROBLEM_COLOUR = "33"


def table(states: Sequence[RunState], at: Terminal) -> str:
    """A line for each run."""
    rows = [HEADER, *(_cells(state) for state in states)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = []
    for row, state in zip(rows, [None, *states], strict=True):
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        if state is not None:
            cells[1] = _coloured(cells[1], COLOURS.get(state.row.state, ""), at)
        lines.append("  ".join(cells).rstrip())
        lines += problem_lines(state, at) if state is not None else []
    return "\n".join(lines)


def _cells(state: RunState) -> tuple[str, ...]:
    ahead, money, row = state.outlook, state.spending, state.row
    since = moment_text(row.started_at, state.now) if row.started_at else "-"
    at_end = usd_text(ahead.usd_at_end) if state.is_live else "-"
    left = duration_text(ahead.seconds_left) if state.is_live else "-"
    cost = usd_text(money.usd, known=money.known_usd)
    ran = duration_text(float(money.hours) * 3600)
    return (row.run_id, row.state, f"{ahead.done}/{ahead.of}", since, ran, left, cost, at_end)


def page(state: RunState, at: Terminal) -> str:
    """All about one run."""
    row, ahead, money = state.row, state.outlook, state.spending
    share = ahead.done / ahead.of if ahead.of else 0.0
    began = f"since {moment_text(row.started_at, state.now)}" if row.started_at else "not started yet"
    ended = f", ended {moment_text(row.ended_at, state.now)}" if row.ended_at else ""
    left = ""
    if ahead.overdue_seconds:
        left = f"; no step for {duration_text(ahead.overdue_seconds)}"
    elif state.ends_at is not None:
        left = f", about {duration_text(ahead.seconds_left)} left: done at {moment_text(state.ends_at, state.now)}"
    cost = f"{usd_text(money.usd, known=money.known_usd)} so far"
    if state.is_live:
        cost += f", about {usd_text(ahead.usd_at_end)} at the end"
    hour = "unknown" if money.usd_per_hour is None else price_text(money.usd_per_hour)
    rows = {
        "when": f"{began}{ended}; it ran {duration_text(float(money.hours) * 3600)}",
        "step": f"{ahead.done} of {ahead.of} ({share:.0%}){left}",
        "metrics": metrics_text(state.step.metrics) if state.step else "none yet",
        "cost": cost,
        "plan": f"{usd_text(state.planned_usd)}, {duration_text(state.planned_hours * 3600)}; an hour costs {hour}",
        "limits": _limits(state),
        "live": ", ".join(state.roles) or "nothing",
    }
    title = f"{row.run_id}  {_coloured(row.state, COLOURS.get(row.state, ''), at)}  on {row.target}, plan {row.plan_id}"
    problems = problem_lines(state, at) or ["  nothing is wrong"]
    return "\n".join([title, *(f"  {name:<8} {text}" for name, text in rows.items()), *problems])


def _limits(state: RunState) -> str:
    money = state.spending
    shown = []
    if money.limit_usd:
        shown.append(f"{price_text(money.limit_usd)} ({money.known_usd / money.limit_usd:.0%} used)")
    if money.limit_hours:
        shown.append(f"{money.limit_hours.normalize():f} h ({money.hours / money.limit_hours:.0%} used)")
    return ", ".join(shown) or "none"


def problem_lines(state: RunState, at: Terminal) -> list[str]:
    """What is wrong, and the command that fixes it, on lines of their own."""
    lines = []
    for problem in state.problems:
        said = textwrap.wrap(problem.what, at.columns - 4) or [""]
        lines += [_coloured(f"  ! {said[0]}", PROBLEM_COLOUR, at), *(f"    {line}" for line in said[1:])]
        lines += [f"    {problem.fix}"] if problem.fix else []
    return lines


def _coloured(text: str, code: str, at: Terminal) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if at.colour and code else text
