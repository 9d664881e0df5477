"""One look at all that `clusterctl alerts` tells of: live runs, those that failed lately, what is left over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from clusterctl.alerts.gather import OF_PLAN, Asked, failed_since, gather
from clusterctl.alerts.rules_file import AlertsFile
from clusterctl.costs.load import read_charges
from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import LIVE, Run
from clusterctl.ledger.stored_plan import stored_plan
from clusterctl.runs.run import open_run
from clusterctl.runs.run_alerts import run_alerts
from clusterctl.runs.watching import refresh
from planners.alerts.alert_facts import Facts, OpenAlert
from planners.alerts.open_alerts import open_alerts

if TYPE_CHECKING:
    from clusterctl.ledger import Ledger
    from clusterctl.store.source import TelemetrySource
    from planners.plan.value import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found."""

    alerts: tuple[OpenAlert, ...]
    facts: Facts
    live_runs: int


class Looker:
    """Looks again and again; plans, which never change, are read once."""

    def __init__(self, ledger: Ledger, source: TelemetrySource, store: Path, now: Callable[[], datetime]) -> None:
        self._ledger, self._source, self._store, self._now = ledger, source, store, now
        self._plan: Callable[[str], Plan] = lru_cache(200)(self._read_plan)

    def look(self, rules: AlertsFile) -> Look:
        """What is open now.  Raises ClusterctlError where the ledger can't be read."""
        ledger, now = self._ledger, self._now()
        since = now - timedelta(hours=rules.look_back_hours)
        live = ledger.runs(states=LIVE)
        planned = [run for run in live if run.plan_id is not None]
        unknown = {(rule, run): why for run, why in self._brought(planned) for rule in (*OF_PLAN, "training")}
        runs = [*ledger.runs(states=LIVE), *failed_since(ledger, since)]
        asked = Asked(
            ledger=ledger,
            source=self._source,
            rules=rules.rules,
            now=now,
            since=since,
            plan=self._plan,
            nodes=lambda run: read_charges(ledger, run=run)["node"].drop_nulls().unique().to_list(),
            training=lambda run: run_alerts(ledger, run, self._store / "runs" / run),
        )
        facts = gather(asked, runs)
        facts = replace(facts, unknown={**unknown, **facts.unknown})
        return Look(alerts=open_alerts(facts, rules.rules), facts=facts, live_runs=len(live))

    def _brought(self, runs: Sequence[Run]) -> list[tuple[str, str]]:
        """Bring here what is written of runs elsewhere; those that can't be asked, and why."""
        failed = []
        for run in runs:
            try:
                if not refresh(open_run(self._ledger, self._store, run.run_id)):
                    failed.append((run.run_id, "its place can't be reached"))
            except ClusterctlError as error:
                failed.append((run.run_id, error.message))
        return failed

    def _read_plan(self, plan_id: str) -> Plan:
        return stored_plan(self._ledger, plan_id, name=f"the plan {plan_id}")
