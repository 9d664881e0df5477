"""A run as people read it: the preview of `up`, a step, an event, `status`, the bill.  Times are in their zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clusterctl.ledger.rows import Event, Run, Step
from clusterctl.runs.folder import RunFolder
from clusterctl.runs.planned_actual import BillLine, planned_against_actual
from clusterctl.runs.run import OpenRun
from clusterctl.runs.run_status import RunStatus
from clusterctl.runs.starting import Launch, UpAction
from clusterctl.ui.formats import UNKNOWN, charged_usd, count, elapsed, size, unit_price, when
from clusterctl.ui.spans import Line, Span, Style, line, paint, wrap
from clusterctl.ui.streams import printable
from clusterctl.ui.table import Cell, cell, draw, draw_text, right
from clusterctl.ui.terminal import Terminal, terminal
from planners.plan.value import Plan
from planners.runs.forecast import Forecast
from planners.runs.limits import RunRate, idle_seconds, planned_rate
from planners.runs.plan_change import PlanChange

METRIC_WORDS = {
    "reward": "reward",
    "pass_at_1_visible": "pass@1",
    "pass_at_1_hidden": "hidden",
    "visible_hidden_gap": "gap",
}
"""Of a step's metrics, those that a line has room for, and what it calls them; `--json` holds all."""
BAR_COLUMNS = 12


def preview_text(plan: Plan, launch: Launch, ahead: Forecast, asked: Sequence[str] = ()) -> str:
    """What `up` will do, and the money.  asked: what a scheduler will be asked for."""
    deed = {
        UpAction.START: "starts",
        UpAction.RESUME: "resumes",
        UpAction.FOLLOW: "follows",
        UpAction.CHANGE: "changes",
    }[launch.action]
    mark = "+" if launch.action is UpAction.START else " "
    rows = [f"{plan.name}: plan {plan.id}; {deed} {launch.run_id}"]
    if (change := launch.change) is None:
        rows += [f"  {mark} {p.role}: {p.nodes} × {p.instance_type} ({p.cloud})" for p in plan.pools]
    else:
        rows += [f"  {mark} {text}" for mark, text in change.pools()]
        rows += _change_rows(change)
    rows += [f"  {'asks for' if number == 0 else '':<8} {text}" for number, text in enumerate(asked)]
    band = plan.usd
    usd = [charged_usd(None if plan.at_least else value, known=value) for value in (band.p50, band.p10, band.p90)]
    money = f"{usd[0]} (P10 {usd[1]}, P90 {usd[2]})" if plan.usd.p90 or not plan.at_least else UNKNOWN
    took = [elapsed(3600 * value) for value in (plan.hours.p50, plan.hours.p10, plan.hours.p90)]
    rows += [f"  dollars  {money}; an hour costs {rate_text(ahead.rate)}"]
    rows += [f"  time     {took[0]} (P10 {took[1]}, P90 {took[2]})"]
    rows += [_so_far(ahead)] if launch.action is not UpAction.START else []
    idle = plan.spec.get("limits", {}).get("idle_minutes")
    patience = idle_seconds(idle, max(stage.seconds_per_unit.p90 for stage in plan.stages))
    rows.append(f"  limits   {ahead.limits}; warns at 80%, stops at 100%, or after {elapsed(patience)} idle")
    if plan.at_least and ahead.limits.usd is not None:
        names = ", ".join(line.name for line in plan.lines if line.usd is None)
        rows.append(f"           the limit in dollars does not count {names}: no known price")
    return "\n".join(rows)


def _change_rows(change: PlanChange) -> list[str]:
    """What was planned before, and what becomes of the jobs."""
    rows = []
    for before in change.before.stages:
        rows += [
            f"  ~ {after.name}: {before.units:g} → {after.units:g} {after.unit}s"
            for after in change.after.stages
            if (after.name, after.units == before.units) == (before.name, False)
        ]
    jobs = "are asked to save their work, and start anew from there" if change.restarts else "go on as they are"
    rate = planned_rate(change.before)
    was, took = change.before.usd, elapsed(3600 * change.before.hours.p50)
    usd = charged_usd(None if change.before.at_least else was.p50, known=was.p50)
    return [*rows, f"  jobs     {jobs}", f"  before   {usd} in {took}; an hour cost {rate_text(rate)}"]


def ending_text(row: Run, slots: Sequence[str], ahead: Forecast) -> str:
    """What `down` will end, and what it has cost."""
    ends = ", ".join(slots) or "nothing: no role runs"
    so_far = f"{_so_far(ahead)}; an hour costs {rate_text(ahead.rate)}"
    return f"{row.run_id}: ends {ends}; its jobs save their work first\n{so_far}"


def _so_far(ahead: Forecast) -> str:
    done = f"step {ahead.step} of {ahead.steps}" if ahead.step else "no step done"
    return f"  so far   {done}, {_spent(ahead)}, {_ran(ahead)}"


def _spent(ahead: Forecast) -> str:
    return charged_usd(ahead.spent.usd, known=ahead.spent.known_usd)


def _ran(ahead: Forecast) -> str:
    return elapsed(float(ahead.spent.hours) * 3600)


def rate_text(rate: RunRate) -> str:
    """`$0.08`, `at least $0.08`, `unknown`."""
    if not rate.unpriced:
        return unit_price(rate.known_usd_per_hour)
    return f"at least {unit_price(rate.known_usd_per_hour)}" if rate.known_usd_per_hour else UNKNOWN


def metrics_text(metrics: Mapping[str, float | None]) -> str:
    """`reward 0.41  pass@1 38%  hidden 31%  gap 7%`; other jobs' metrics by their own names."""
    own = _metrics(metrics, METRIC_WORDS)
    return "  ".join(own or _metrics(metrics, {name: name.replace("_", " ") for name in metrics}))


def _metrics(metrics: Mapping[str, float | None], words: Mapping[str, str]) -> list[str]:
    return [
        f"{word} {value:.2f}" if name not in METRIC_WORDS or name == "reward" else f"{word} {value:.0%}"
        for name, word in words.items()
        if (value := metrics.get(name)) is not None
    ]


def step_text(step: Step) -> str:
    """`step 12/40  reward 0.41  pass@1 38%  hidden 31%`"""
    return f"step {step.step:>{len(str(step.of))}}/{step.of}  {metrics_text(step.metrics)}"


def progress_text(state: RunStatus, columns: int) -> str:
    """`step 12/40 ██████░░░░  reward 0.41  pass@1 38%  $0.0006 of ~$0.0021  38 s left`, as much as fits."""
    ahead = state.forecast
    share = ahead.step / ahead.steps if ahead.steps else 0.0
    bar = ("█" * round(share * BAR_COLUMNS)).ljust(BAR_COLUMNS, "░")
    cost = _spent(ahead) + (f" of ~{charged_usd(ahead.usd_at_end)}" if ahead.usd_at_end is not None else "")
    values = _metrics(state.step.metrics if state.step else {}, METRIC_WORDS)
    waiting = "" if state.step else f"{state.row.state}: {', '.join(state.roles) or 'nothing yet'}"
    left = "" if state.seconds_left is None else f"{elapsed(state.seconds_left)} left"
    if ahead.overdue_seconds:
        left = f"no step for {elapsed(ahead.overdue_seconds)}"
    # the rightmost that doesn't fit is left out first
    order = [f"step {ahead.step}/{ahead.steps}", cost, left, *values[:1], bar, *values[1:]]
    shown = [f"step {ahead.step}/{ahead.steps}", bar, waiting, *values, cost, left]
    while len("  ".join(filter(None, shown))) > columns and order:
        dropped = order.pop()
        shown = [text for text in shown if text != dropped]
    return "  ".join(filter(None, shown))[:columns]


def event_text(event: Event) -> str:
    """`20:14:03  launch  trainer: wanted`"""
    return f"{event.at.astimezone():%H:%M:%S}  {event.kind:<7} {printable(event.message)}"


def bill_text(lines: Sequence[BillLine], done: Step | None, *, columns: int = 80) -> str:
    """Planned against actual, a line each; of what is unknown the part that is known.

    done: the last step; None = none was finished.
    """
    totals = [line for line in lines if line.kind != "phase"]
    phases = [line for line in lines if line.kind == "phase"]
    rows = [_bill_row(line) for line in totals] + ([["", "", "", ""]] if phases else []) + list(map(_bill_row, phases))
    heads = ("", right("planned"), right("actual"), right("ratio"))
    text = draw_text(heads, rows, Terminal(columns=columns, colour=False, interactive=False))
    if done is not None and done.step < done.of:
        text += f"\n{done.step} of {done.of} steps were done; the planned amounts are for all of them.\n"
    if any(line.kind == "total" and line.actual is None for line in lines):
        text += "\nA price is not known, so the true bill is higher.\n"
    return text.rstrip("\n")


def final_bill(run: OpenRun) -> str:
    """The bill of a run as it is now, and what is saved of it."""
    lines, last = planned_against_actual(run), run.ledger.last_step(run.run_id)
    return f"{bill_text(lines, last, columns=terminal().columns)}\n\n{saved_text(run.folder)}"


def _bill_row(line: BillLine) -> list[str]:
    ratio = f"{line.actual / line.planned:.2f}" if line.planned and line.actual is not None else "-"
    return [line.name, _amount(line.planned, line.unit), _amount(line.actual, line.unit, known=line.known), ratio]


def _amount(value: float | None, unit: str, *, known: float | None = None) -> str:
    if unit == "USD":
        return charged_usd(value, known=known)
    return UNKNOWN if value is None else f"{value:,.3g} {unit}"


def saved_text(folder: RunFolder) -> str:
    """Where logs and results lie, and what is there."""
    files = [
        file
        for file in sorted(folder.path.glob("*"))
        if file.is_file() and file.suffix not in {".lock", ".port", ".token"}
    ]
    kept = [f"{file.name} {size(file.stat().st_size)}" for file in files if file.name not in {"ended", "beat.json"}]
    logs = count(len(list(folder.logs.glob("*.log"))), "log")
    return f"saved in {folder.path}: {', '.join(kept) or 'nothing'}, {logs}"


COLUMNS = ("run", "state", "step", "since", "for", "left", "cost", "at end")
STATE_STYLES = {"running": Style.GOOD, "finished": Style.GOOD, "failed": Style.BAD}
"""Green goes as it should, red failed; what ends or was ended is yellow."""


def table(states: Sequence[RunStatus], at: Terminal) -> str:
    """A line for each run, below it what is wrong."""
    head, *lines = draw(COLUMNS, [_cells(state) for state in states], at.columns, indent=0)
    shown = [head]
    for drawn, state in zip(lines, states, strict=True):
        shown += [drawn, *problem_lines(state, at)]
    return paint(shown, colour=at.colour).rstrip("\n")


def _cells(state: RunStatus) -> list[Cell]:
    row, ahead = state.row, state.forecast
    since = when(row.started_at, state.now) if row.started_at else "-"
    left = "-" if state.seconds_left is None else elapsed(state.seconds_left)
    at_end = charged_usd(ahead.usd_at_end, known=ahead.known_usd_at_end) if state.is_live else "-"
    shown = cell(row.state, STATE_STYLES.get(row.state, Style.WARN))
    return [row.run_id, shown, f"{ahead.step}/{ahead.steps}", since, _ran(ahead), left, _spent(ahead), at_end]


def page(state: RunStatus, at: Terminal) -> str:
    """All about one run."""
    row, ahead = state.row, state.forecast
    began = f"since {when(row.started_at, state.now)}" if row.started_at else "not started yet"
    ended = f", ended {when(row.ended_at, state.now)}" if row.ended_at else ""
    cost = f"{_spent(ahead)} so far"
    if state.is_live:
        cost += f", about {charged_usd(ahead.usd_at_end, known=ahead.known_usd_at_end)} at the end"
        cost += f"; an hour costs {rate_text(ahead.rate)}"
    rows = {
        "when": f"{began}{ended}; it ran {_ran(ahead)}",
        "step": _step(state),
        "metrics": metrics_text(state.step.metrics) if state.step else "none yet",
        "cost": cost,
        "plan": f"{charged_usd(state.planned_usd)}, {elapsed(state.planned_hours * 3600)}",
        "limits": _limits(ahead),
        "live": ", ".join(state.roles) or "nothing",
    }
    style = STATE_STYLES.get(row.state, Style.WARN)
    title = line(f"{row.run_id}  ", Span(row.state, style), f"  on {row.target}, plan {row.plan_id}")
    problems = problem_lines(state, at) or [line("  no problems")]
    about = [line(f"  {name:<8} {text}") for name, text in rows.items()]
    return paint([title, *about, *problems], colour=at.colour).rstrip("\n")


def _step(state: RunStatus) -> str:
    ahead = state.forecast
    text = f"{ahead.step} of {ahead.steps} ({ahead.step / ahead.steps if ahead.steps else 0.0:.0%})"
    if ahead.overdue_seconds:
        return f"{text}; no step for {elapsed(ahead.overdue_seconds)}"
    if state.seconds_left is None or state.ends_at is None:
        return text
    return f"{text}, about {elapsed(state.seconds_left)} left: done at {when(state.ends_at, state.now)}"


def _limits(ahead: Forecast) -> str:
    """`$10.00 (at least 12% used), 5 h (40% used)`."""
    shown, spent, limits = [], ahead.spent, ahead.limits
    if limits.usd:
        share = f"{spent.known_usd / limits.usd:.0%} used"
        if spent.unpriced:
            share = f"at least {share}" if spent.known_usd else "use unknown"
        shown.append(f"{unit_price(limits.usd)} ({share})")
    if limits.hours:
        shown.append(f"{limits.hours.normalize():f} h ({spent.hours / limits.hours:.0%} used)")
    return ", ".join(shown) or "none"


def problem_lines(state: RunStatus, at: Terminal) -> list[Line]:
    """What is wrong, and the command that fixes it, on lines of their own."""
    lines: list[Line] = []
    for problem in state.problems:
        lines += wrap(line(Span(f"  ! {problem.what}", Style.WARN)), at.columns, indent=4)
        lines += [line(f"    {problem.fix}")] if problem.fix else []
    return lines
