"""The runs of a review in Markdown: a row per run, what moved them, what can't be planned, and the details."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from clusterctl.review.totals import UsdChange, is_planned, runs_usd, spec_usd
from clusterctl.review.value import SpecChange
from clusterctl.ui import formats
from clusterctl.ui.difference import gpu_hours
from clusterctl.ui.markdown_blocks import bill, difference_tables, limited
from clusterctl.ui.markdown_text import code, code_end, escape, unbroken
from planners.plan.value import Plan

MOST_MESSAGE = 600
"""Characters of the message why a file can't be planned."""
MOST_PATH = 22
"""Characters of a path in the table, which has eight columns in 800 pixels; lists and details have all of it."""
HEADER = ["Run", "Baseline", "New (P50)", "P10–P90", "Δ$ (Δ%)", "GPU‑h", "$/h", "Hours"]
SANDBOX_ROWS = ("concurrent sandboxes", "GPUs wait for sandboxes")
"""Rows of a difference that tell what a change does to the sandboxes and to GPUs that wait for them."""
WORTH_SHARE = 0.005
"""Waiting GPUs that cost a smaller share of a new run are not worth a line."""


class Fold(NamedTuple):
    """A block of details."""

    name: str
    """Ours, as plain text: it stands where no Markdown is read."""
    subject: str
    """A foreign name that follows it; may be empty."""
    body: str


def ordered(specs: Sequence[SpecChange]) -> list[SpecChange]:
    """What can't be planned first, then what moves most; what moves by an unknown amount before that."""

    def key(spec: SpecChange) -> tuple[bool, bool, float, str]:
        change = spec_usd(spec).known_usd
        return is_planned(spec), change is not None, -abs(change or 0.0), spec.path

    return sorted(specs, key=key)


def runs_table(specs: Sequence[SpecChange], most: int) -> str:
    """A row per run, and one for all of them."""
    listed = ordered(specs)
    rows = [_row(spec) for spec in listed[:most]]
    if len(listed) > most:
        rest = runs_usd(listed[most:])
        rows.append([f"{len(listed) - most:,} more", *_money(rest), *[""] * 3])
    planned = sum(map(is_planned, listed))
    if planned > 1:
        name = f"All {planned:,} runs" if planned == len(listed) else f"All {planned:,} with a plan"
        rows.append([f"**{name}**", *_money(runs_usd(listed)), *[""] * 3])
    return limited(HEADER, rows, set(range(1, len(HEADER))), most + 2) if rows else ""


def _row(spec: SpecChange) -> list[str]:
    name, found = _name(spec), spec_usd(spec)
    if spec.after is None and spec.status != "removed":
        why = "**not feasible**" if spec.is_infeasible else "**can't be planned**"
        return [name, _baseline(spec), why, *[""] * 5]
    after = spec.after
    new = "removed" if after is None else f"**{formats.least_usd(after.usd.p50, at_least=after.at_least)}**"
    band = "" if after is None else formats.usd_band(after.usd, at_least=after.at_least)[1].strip("()")
    if spec.is_infeasible:
        new = f"not feasible; nearest: {new}"
    figures = ["", "", ""] if after is None else _figures(spec)
    return [name, _baseline(spec), new, band, _change(found), *figures]


def _name(spec: SpecChange) -> str:
    name = code_end(spec.path, MOST_PATH)
    if spec.status == "renamed" and spec.old_path:
        return f"{name} (was {code_end(spec.old_path, MOST_PATH)})"
    if spec.status == "affected":
        return f"{name} (file unchanged)"
    return f"{name} (new)" if spec.status == "added" else name


def _baseline(spec: SpecChange) -> str:
    if spec.before is not None:
        return formats.least_usd(spec.before.usd.p50, at_least=spec.before.at_least)
    return "none" if spec.status == "added" else "no plan"


def _money(found: UsdChange) -> list[str]:
    before = formats.least_usd(found.before, at_least=found.before_at_least)
    after = formats.least_usd(found.after, at_least=found.after_at_least)
    more = f" and {found.unknown:,} unknown" if found.unknown and found.known_usd is not None else ""
    return [before, after, "", f"{_change(found)}{more}"]


def _change(found: UsdChange) -> str:
    """`+$2,760 (+18%)`, `at least +$12`, `=`, `unknown`."""
    share = "" if found.ratio is None or found.is_same else f" ({formats.signed_percent(found.ratio)})"
    return unbroken(f"{'at least ' if found.change_at_least else ''}{formats.signed_usd(found.known_usd)}{share}")


def _figures(spec: SpecChange) -> list[str]:
    """GPU-hours, dollars an hour and hours, as `before → after` where they differ."""
    plans = [plan for plan in (spec.before, spec.after) if plan is not None]
    columns = (
        [formats.number(gpu_hours(plan)) for plan in plans],
        [formats.least_usd(plan.known_usd_per_hour, at_least=plan.usd_per_hour is None) for plan in plans],
        [formats.hours(plan.hours.p50) for plan in plans],
    )
    return [unbroken(" → ".join(dict.fromkeys(texts))) for texts in columns]


def notes(specs: Sequence[SpecChange], most: int) -> str:
    """Why a file can't be planned, what reaches one that didn't change, sandboxes, and what prices did, as a list."""
    lines = [line for spec in ordered(specs) for line in _notes(spec)]
    return _listed(lines, most)


def _notes(spec: SpecChange) -> Iterator[str]:
    name = code(spec.path)
    if spec.problem:
        at = f", line {spec.problem_line}" if spec.problem_line else ""
        yield f"{name}{at}: {escape(in_one_line(spec.problem), MOST_MESSAGE)}"
    if spec.problem_before:
        yield f"{name} has no plan at the base: {escape(in_one_line(spec.problem_before), MOST_MESSAGE)}"
    if spec.reached_by and spec.status == "affected":
        yield f"{name} didn't change itself; it reads {', '.join(code(file) for file in spec.reached_by[:5])}."
    sandboxes = sandbox_effect(spec)
    if sandboxes:
        yield f"{name}: {sandboxes}."
    if spec.usd_price_drift is not None:
        drift = formats.signed_usd(spec.usd_price_drift)
        yield f"{name}: prices alone moved its baseline by {drift if drift != '=' else 'nothing'} since it was planned."


def in_one_line(message: str) -> str:
    """A message of several problems without its hints, which are indented deeper: `2 problems · a needs b · c …`."""
    first, *others = [line for line in message.splitlines() if line.strip()] or [""]
    indent = min((len(line) - len(line.lstrip()) for line in others), default=0)
    return " · ".join([first.strip(), *(line.strip() for line in others if not line[indent:].startswith(" "))])


def sandbox_effect(spec: SpecChange) -> str:
    """`concurrent sandboxes 512 → 1,024; GPUs that wait for sandboxes cost $1,200 → $310`, or nothing."""
    if spec.difference is None:
        return _waiting(spec.after)
    from clusterctl.ui.compare import sides

    rows = {row.name: row for row in spec.difference.rows if row.group == "total" and row.differs}
    parts = [f"{name} {' → '.join(sides(rows[name]))}" for name in SANDBOX_ROWS if name in rows]
    return "; ".join(parts).replace("GPUs wait for sandboxes", "GPUs that wait for sandboxes cost")


def _waiting(plan: Plan | None) -> str:
    idle = [] if plan is None else [stage.idle for stage in plan.stages if stage.idle is not None]
    usd = sum(found.usd or 0.0 for found in idle)
    if plan is None or usd <= WORTH_SHARE * plan.usd.p50:
        return ""
    return (
        f"GPUs that wait for sandboxes cost {formats.least_usd(usd, at_least=any(i.usd is None for i in idle))} of it"
    )


def drivers(specs: Sequence[SpecChange], most: int) -> str:
    """Which inputs moved the cost of each run, the largest first."""
    lines = []
    for spec in ordered(specs):
        moved = [
            f"{code(driver.field)} {escape(driver.before)} → {escape(driver.after)} "
            f"({'by an unknown amount' if driver.usd_change is None else formats.signed_usd(driver.usd_change)})"
            for driver in spec.drivers
        ]
        if moved:
            lines.append(f"{code(spec.path)}: {', '.join(moved)}")
    return _listed(lines, most)


def _listed(lines: Sequence[str], most: int) -> str:
    shown = [f"- {line}" for line in lines[:most]]
    return "\n".join([*shown, f"- …and {len(lines) - most:,} more"] if len(lines) > most else shown)


def run_details(specs: Sequence[SpecChange], most: int) -> Iterator[Fold]:
    """Fields and numbers that differ, the bill of a new run, and what has no price."""
    for spec in ordered(specs):
        if spec.difference is not None:
            body = difference_tables(spec.difference, most)
        elif spec.after is not None:
            body = bill(spec.after, most)
        else:
            body = ""
        if body:
            yield Fold("What changes in" if spec.difference is not None else "Bill of", spec.path, body)
    rows = [
        [code(spec.path), escape(item.name), escape(item.why)]
        for spec in ordered(specs)
        for item in (spec.after.unpriced if spec.after is not None else ())
    ]
    if rows:
        yield Fold("Lines of bills without a price", "", limited(["Run", "Line", "Why"], rows, set(), most))
