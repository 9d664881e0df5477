"""What people read of a run: a line of status, the progress of a step, the bill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clusterctl.ledger.rows import Event, Run, Step
    from clusterctl.run.end import BillLine

SHOWN_METRICS = ("reward", "pass_at_1_visible", "pass_at_1_hidden", "visible_hidden_gap")
"""Of a step's metrics, those that a line has room for; `events` and `--json` hold all."""


def status_row(run: Run, last: Step | None, usd: str, roles: str) -> dict[str, Any]:
    """One run as data: what `--json` prints and the table shows."""
    done = f"{last.step}/{last.of}" if last is not None else "-"
    return {
        "run": run.run_id, "state": run.state, "steps": done, "usd": usd, "live": roles,
        "since": run.started_at.isoformat() if run.started_at else None, "note": run.note,
    }  # fmt: skip


def step_text(step: Step) -> str:
    """`step 12/40  reward 0.41  pass@1 0.38  hidden 0.31`"""
    names = [name for name in SHOWN_METRICS if name in step.metrics] or list(step.metrics)
    values = ((name, step.metrics[name]) for name in names)
    shown = [f"{name.replace('_', ' ')} {value:.2f}" for name, value in values if value is not None]
    return f"step {step.step}/{step.of}  " + "  ".join(shown)


def event_text(event: Event) -> str:
    """`20:14:03  launch  trainer: wanted`"""
    return f"{event.at:%H:%M:%S}  {event.kind:<7} {event.message}"


def bill_text(lines: list[BillLine]) -> str:
    """Planned against actual, a line each; what nobody knows says so."""
    rows = [f"{'':<24}{'planned':>12}{'actual':>12}{'ratio':>8}"]
    for line in lines:
        ratio = f"{line.actual / line.planned:.2f}" if line.planned and line.actual is not None else "-"
        rows.append(
            f"{line.name:<24}{_amount(line.planned, line.unit):>12}{_amount(line.actual, line.unit):>12}{ratio:>8}"
        )
    return "\n".join(rows)


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "unknown"
    return f"${value:,.4f}" if unit == "USD" else f"{value:,.3g} {unit}"
