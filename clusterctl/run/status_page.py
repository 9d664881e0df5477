"""`status` as people read it: a table of runs, or all about one; below each what is wrong and what fixes it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from clusterctl.run.state import RunState
from clusterctl.run.view import duration_text, metrics_text, moment_text, price_text, usd_text
from clusterctl.ui.terminal import Terminal

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
