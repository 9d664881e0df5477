"""What the ledger's ended runs say about their plans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.ledger.log_lesson import LogLesson
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


def learn(ledger: Ledger, logs: Sequence[LogLesson] = ()) -> tuple[Factors, Sequence[Unused]]:
    """Factors from all ended runs of the ledger and all logs that it remembers; and what taught nothing, and why.

    logs: those that it is to remember, too.
    """
    seen = list(_of_logs(ledger, logs))
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


def _of_logs(ledger: Ledger, logs: Sequence[LogLesson]) -> Iterator[Observation]:
    """What logs taught, each under a name of its own."""
    remembered = {lesson.lesson_id: lesson for lesson in ledger.lessons() if lesson.revoked_at is None}
    names: dict[str, str] = {}
    for lesson_id, lesson in sorted((remembered | {each.lesson_id: each for each in logs}).items()):
        try:
            observations = lesson.observations
        except (ValueError, TypeError, LookupError) as error:
            raise ledger.damaged(error) from error
        for seen in observations:
            name = seen.run if names.setdefault(seen.run, lesson_id) == lesson_id else f"{seen.run}-{lesson_id}"
            yield replace(seen, run=name)


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


def apply(ledger: Ledger, factors: Factors, logs: Sequence[LogLesson] = ()) -> None:
    """Into the ledger: the next plan uses them, the next calibration knows the logs.  Raises SpecError without any."""
    if not factors:
        raise SpecError("no run can be used for calibration yet", hint="`clusterctl calibrate` says why for each run")
    now = ledger.now()
    ledger.put_lessons([replace(lesson, learned_at=now) for lesson in logs])
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
