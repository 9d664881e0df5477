"""One function per question about money: what has it cost, what does it burn, what will it have cost.

`status`, `cost` and the dashboard ask here, so that they never disagree.

What money can be split by: columns of the parts, and those that the ledger knows of a run (label, model).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl
from sqlalchemy import select

from clusterctl.costs.load import in_plan, read_charges, read_use
from clusterctl.errors import SpecError
from clusterctl.ledger.rows import LIVE
from clusterctl.ledger.tables import PLANS, RESOURCES, RUNS
from planners.costs.allocate import allocate
from planners.costs.summary import Spend, by, spend, within
from planners.costs.tables import BILLED, ESTIMATE, GPU_USAGE
from planners.runs.forecast import Forecast, Runway, StageProgress, forecast, runway
from planners.runs.limits import REPORTED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from clusterctl.ledger import Ledger
    from clusterctl.ledger.rows import Run, Step
    from clusterctl.store import Source
    from planners.plan.value import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who used the money and for what.  `planners.costs.summary.by(account.parts, "team", "use")` groups it."""

    parts: pl.DataFrame
    """PARTS of `planners.costs.tables`."""
    problems: tuple[str, ...]
    """What of the telemetry could not be read: these seconds are unmeasured."""

    @property
    def spend(self) -> Spend:
        """How much it is."""
        return spend(self.parts)

    @property
    def standing(self) -> str:
        """billed, partly billed, or an estimate as long as no invoice has been imported."""
        found = set(self.parts["status"].unique())
        return BILLED if found == {BILLED} else f"partly {BILLED}" if BILLED in found else ESTIMATE


def account(
    ledger: Ledger,
    source: Source | None,
    *,
    run: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Account:
    """The money of one run (its id) or all, between two moments or ever.  Without a source GPUs are unmeasured."""
    charges = within(read_charges(ledger, run=run, since=since, until=until), since, until)
    use = pl.DataFrame(schema=GPU_USAGE) if source is None else read_use(source, charges)
    return Account(parts=allocate(charges, use), problems=() if source is None else source.problems())


@dataclass(frozen=True, slots=True, kw_only=True)
class Burn:
    """What live resources cost per hour, at their present prices, and what their runs' jobs report on average."""

    known_usd_per_hour: Decimal
    unpriced: tuple[str, ...]
    """Live resources without a known price."""

    @property
    def usd_per_hour(self) -> Decimal | None:
        """The whole, if all of it is known."""
        return None if self.unpriced else self.known_usd_per_hour


def burn(ledger: Ledger, *, run: str | None = None) -> Burn:
    """Dollars per hour now, of one run or all."""
    columns = RESOURCES.c
    query = select(columns.run_id, columns.resource_id, columns.usd_per_hour).where(columns.state == "live")
    query = query if run is None else query.where(columns.run_id == run)
    live = ledger.transact(lambda connection: [tuple(row) for row in connection.execute(query)])
    report = select(columns.run_id).where(columns.kind.in_(REPORTED)).distinct()
    reporting = ledger.transact(lambda connection: {row[0] for row in connection.execute(report)})
    known = sum((price for _, _, price in live if price is not None), Decimal(0))
    known += sum(ledger.bill(each).reported_usd_per_hour for each in {run_id for run_id, _, _ in live} & reporting)
    unpriced = tuple(resource_id for _, resource_id, price in live if price is None)
    return Burn(known_usd_per_hour=known, unpriced=unpriced)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """How a live run's money goes on.  None = unknown, or no limit; after its end the forecast is what was spent."""

    burn: Burn
    forecast: Forecast | None
    runway: Runway | None


def outlook(ledger: Ledger, run: Run, plan: Plan | None, spent_usd: Decimal, now: datetime) -> Outlook:
    """Burn, cost at completion and budget of a run that has cost `spent_usd` so far (its known part).

    While a price is unknown the forecast and the runway speak of the known part alone; without a plan there is no
    forecast.
    """
    burning = burn(ledger, run=run.run_id)
    known = burning.known_usd_per_hour
    ahead: Forecast | None = Forecast(p10=spent_usd, p50=spent_usd, p90=spent_usd, basis="the run has ended")
    if run.state in LIVE:
        ahead = forecast(spent_usd, known, progress(plan, ledger.steps(run.run_id))) if plan else None
    left = None if run.limit_usd is None else runway(run.limit_usd, spent_usd, known, now)
    return Outlook(burn=burning, forecast=ahead, runway=left)


def progress(plan: Plan, steps: Sequence[Step]) -> list[StageProgress]:
    """How far each stage of a plan is, by the steps that the job reported.

    Seconds of a step: from the step before it, so without the first one, which holds the start of the job.
    """
    found: list[StageProgress] = []
    for stage in plan.stages:
        mine = [step for step in steps if step.stage == stage.name]
        last = max(mine, key=lambda step: step.step, default=None)
        seconds = [(b.at - a.at).total_seconds() for a, b in pairwise(mine) if b.step == a.step + 1]
        found.append(
            StageProgress(
                planned_seconds=stage.seconds_per_unit,
                planned_usd=stage.usd,
                units=last.of if last else stage.units,
                done=last.step if last else 0.0,
                unit_seconds=seconds,
            )
        )
    return found


COLUMNS = {
    "use": ("use", "reason"),
    "reason": ("use", "reason"),
    "run": ("run",),
    "role": ("role",),
    "team": ("team",),
    "provider": ("provider",),
    "resource": ("resource",),
    "model": ("model",),
}
"""Key that people write → columns of the answer."""
LABEL = "label:"


def split(ledger: Ledger, parts: pl.DataFrame, keys: Sequence[str]) -> tuple[list[str], pl.DataFrame]:
    """The columns that `keys` mean, and the parts grouped by them (`planners.costs.summary.by`).

    keys: those of COLUMNS, or `label:NAME` of the runs' labels.  Raises SpecError.
    """
    columns: list[str] = []
    for key in keys:
        if key.startswith(LABEL) and len(key) > len(LABEL):
            parts = _with(parts, key, _labels(ledger, key.removeprefix(LABEL)))
        elif key not in COLUMNS:
            raise SpecError(
                f"--by: `{key[:40]}` is nothing to split by", hint=f"one of {', '.join(COLUMNS)}, label:NAME"
            )
        elif key == "model":
            parts = _with(parts, key, _models(ledger))
        columns += [name for name in COLUMNS.get(key, (key,)) if name not in columns]
    return columns, by(parts, *columns)


def _with(parts: pl.DataFrame, name: str, of_run: dict[str, str | None]) -> pl.DataFrame:
    values = pl.DataFrame(list(of_run.items()), schema={"run": pl.String, name: pl.String}, orient="row")
    return parts.join(values, on="run", how="left")


def _labels(ledger: Ledger, name: str) -> dict[str, str | None]:
    """A label's value by run."""
    rows = ledger.transact(lambda connection: connection.execute(select(RUNS.c.run_id, RUNS.c.labels)).all())
    return {run: labels.get(name) for run, labels in rows}


def _models(ledger: Ledger) -> dict[str, str | None]:
    """The models that a run's plan names, by run: `a + b`."""
    query = select(RUNS.c.run_id, in_plan(ledger, "spec", "stages")).join_from(
        RUNS, PLANS, PLANS.c.plan_id == RUNS.c.plan_id
    )
    rows = ledger.transact(lambda connection: connection.execute(query).all())
    named: dict[str | None, str | None] = {text: _named(text) for text in {text for _, text in rows}}
    return {run: named[text] for run, text in rows}


def _named(stages: str | None) -> str | None:
    refs = [stage.get("model") for stage in json.loads(stages or "[]")]
    names = dict.fromkeys(ref if isinstance(ref, str) else ref.get("name", "unnamed") for ref in refs if ref)
    return " + ".join(names) or None
