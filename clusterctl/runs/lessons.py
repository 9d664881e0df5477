"""What the ledger's ended runs say about their plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.ledger.rows import FactorRow, Run, RunState
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.ui.terminal import progress
from planners.learn.fit import Observation, fit
from planners.learn.observe import Unused, observe
from planners.plan.value import Plan
from planners.workload.factors import Factors

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger

ENDED: tuple[RunState, ...] = ("stopped", "finished", "failed")
MOST_RUNS = 200
"""The newest ended runs that are read: software moves on, and a minute of reading is enough."""


def learn(ledger: Ledger, elsewhere: Sequence[Observation] = ()) -> tuple[Factors, Sequence[Unused]]:
    """Factors from all ended runs of the ledger; and what taught nothing, with the reason.

    elsewhere: of runs that the ledger doesn't have, by their logs.
    """
    seen: list[Observation] = list(elsewhere)
    unused: list[Unused] = []
    runs = ledger.runs(states=ENDED, limit=MOST_RUNS)
    with progress("reading runs", total=len(runs)) as advance:
        for run in runs:
            plan = _plan(ledger, run)
            if isinstance(plan, str):
                unused.append(Unused(run.run_id, "", plan))
            else:
                mine, rest = observe(run.run_id, plan, _seconds(ledger, run.run_id))
                seen += mine
                why = rest[0].reason if rest else "its plan has no phases"
                unused += rest if mine else [Unused(run.run_id, "", why)]
            advance(1)
    return fit(seen), unused


def _plan(ledger: Ledger, run: Run) -> Plan | str:
    """The plan of a run, or why there is none."""
    if run.plan_id is None:
        return "it has no plan"
    try:
        return stored_plan(ledger, run.plan_id, name="its plan")
    except ClusterctlError as error:
        return error.message


def _seconds(ledger: Ledger, run_id: str) -> Mapping[tuple[str, str], Sequence[float]]:
    """(stage, phase) -> seconds by step."""
    found: dict[tuple[str, str], list[float]] = {}
    for phase in sorted(ledger.phases(run_id), key=lambda row: row.step):
        found.setdefault((phase.stage, phase.phase), []).append(phase.seconds)
    return found


def apply(ledger: Ledger, factors: Factors) -> None:
    """Into the ledger: the next plan uses them.  Raises SpecError when there are none."""
    if not factors:
        raise SpecError("no run can be used for calibration yet", hint="`clusterctl calibrate` says why for each run")
    now = ledger.now()
    ledger.put_factors(
        [
            FactorRow(
                calibration_id=factors.identity,
                **factor.place._asdict(),
                gpu=factor.gpu,
                applied_at=now,
                log_factor=factor.log_factor,
                log_sd=factor.log_sd,
                ratios=factor.ratios,
            )
            for factor in factors.rows
        ]
    )
