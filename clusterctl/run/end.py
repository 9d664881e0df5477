"""`down`: stop what runs, look at what is left, say what it cost.  Idempotent, from any state, with or without a
supervisor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from clusterctl.errors import StateError
from clusterctl.ledger.locks import LockHeldError, run_lock
from clusterctl.run.supervisor import Supervisor
from clusterctl.targets.local import SUPERVISOR

if TYPE_CHECKING:
    from clusterctl.run.runs import OpenRun

DOWN_PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line, planned against actual.  None = unknown."""

    name: str
    planned: float | None
    actual: float | None
    unit: str


def end_run(run: OpenRun) -> None:
    """Ends everything of the run.  A live supervisor does it; without one this process takes its place.

    Raises StateError when a live supervisor doesn't finish in time.
    """
    run.ledger.set_desired(run.run_id, "down")
    deadline = time.monotonic() + DOWN_PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            with run_lock(run.ledger, run.run_id, SUPERVISOR):
                supervisor = Supervisor(run)
                while supervisor.tick():
                    time.sleep(POLL_SECONDS)
                return
        except LockHeldError:
            time.sleep(POLL_SECONDS)  # the supervisor holds the lock and is ending the run
    raise StateError(
        f"the supervisor of {run.run_id} has not ended the run within {DOWN_PATIENCE_SECONDS:.0f} s",
        hint=f"`clusterctl logs {run.run_id} --role supervisor` says what it is doing; `clusterctl down` again goes on",
    )


def planned_against_actual(run: OpenRun) -> list[BillLine]:
    """Dollars by line and seconds by phase: the plan's middle beside what the ledger holds."""
    bill = run.ledger.bill(run.run_id)
    planned_usd = sum(line.usd for line in run.plan.lines if line.usd is not None)
    hours = sum(line.seconds for line in bill.lines) / 3600.0
    lines = [
        BillLine(name="dollars", planned=planned_usd, actual=None if bill.usd is None else float(bill.usd), unit="USD"),
        BillLine(name="hours", planned=run.plan.hours.p50, actual=hours, unit="h"),
    ]
    actual: dict[tuple[str, str], list[float]] = {}
    for phase in run.ledger.phases(run.run_id):
        actual.setdefault((phase.stage, phase.phase), []).append(phase.seconds)
    for stage in run.plan.stages:
        for planned in stage.phases:
            seconds = actual.pop((stage.name, planned.name), None)
            mean = sum(seconds) / len(seconds) if seconds else None
            lines.append(
                BillLine(name=f"{planned.name} per {stage.unit}", planned=planned.seconds, actual=mean, unit="s")
            )
    for (_, name), seconds in actual.items():
        lines.append(BillLine(name=f"{name} per step", planned=None, actual=sum(seconds) / len(seconds), unit="s"))
    return lines


def cost_so_far(run: OpenRun) -> tuple[Decimal | None, Decimal | None]:
    """(dollars so far, dollars at the end at this pace); None = unknown."""
    bill = run.ledger.bill(run.run_id)
    steps = run.ledger.steps(run.run_id)
    if bill.usd is None or not steps:
        return bill.usd, None
    last = max(steps, key=lambda step: step.step)
    return bill.usd, bill.usd * Decimal(last.of) / Decimal(max(last.step, 1))
