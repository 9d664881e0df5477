"""What a run's job reports, from its file into the ledger: many lines in one transaction, each once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from typing import Any

from clusterctl.errors import ClusterctlError
from clusterctl.ledger.rows import Intent, PhaseSeconds, ReportBatch, ReportedCost, Run, Step
from clusterctl.runs.job_reports import MOST_USD, CostReport, read_report
from clusterctl.runs.run import LINES, OpenRun
from planners.plan.unit_prices import TOKEN_COLUMNS, TokenPrices
from planners.plan.value import Plan
from planners.spec.models import ApiModel

UNKNOWN_PROVIDER = "unknown"
"""Provider of what a job reports without naming one."""
REPORTS_AT_ONCE = 20_000
"""Lines that one transaction takes: a second's work, so that the limits are looked at in between."""
MOST_PROBLEMS = 20
"""Reasons why lines do not count that are said: a job may have a new one for each line."""
TOKENS_OF_A_PRICE = 10**6


class ReportReader:
    """Reads the reports of one run on.  since: when the run was last asked for; the first costs are counted from it."""

    def __init__(self, run: OpenRun, row: Run, since: datetime) -> None:
        self._run, self._since = run, since
        last = run.ledger.last_step(run.run_id)
        self.last_step_at = last.at if last else row.created_at
        self._prices = UsagePrices(run.plan)
        self._problems = set[str]()
        self._reread: tuple[int, datetime] | None = None
        """Of reports that were cut: up to where they are read again, and after when their costs count."""

    def read(self, row: Run) -> bool:
        """New job reports into the ledger, with the position up to which they are read.

        Whether there may be more.  A report whose clock is wrong is dated by ours; one that says nothing is named.
        """
        run, now, begin = self._run, self._run.clock.now(), self._begin(row)
        end, steps, phases, costs, progress_at = begin, [], [], [], None
        for position, line in run.folder.report_lines(begin, most=REPORTS_AT_ONCE):
            end, report = position, read_report(line)
            if isinstance(report, str):
                self._problem(position, report)
                continue
            at = report.at if self.last_step_at <= report.at <= now else now
            if isinstance(report, CostReport):
                costs += self._cost(position, report, at)
                continue
            same: dict[str, Any] = {"run_id": run.run_id, "stage": report.stage, "step": report.step, "at": at}
            steps.append(Step(**same, of=report.of, metrics=report.metrics))
            phases += [PhaseSeconds(**same, phase=phase, seconds=took) for phase, took in report.phases.items()]
            self.last_step_at, progress_at = at, now
        if end == row.reports_byte == begin:
            return False
        batch = ReportBatch(
            from_byte=row.reports_byte,
            to_byte=end,
            steps=tuple(steps),
            phases=tuple(phases),
            costs=tuple(costs),
            since=self._since,
            progress_at=progress_at,
        )
        run.ledger.record_reports(run.run_id, batch)
        return end > begin

    def _begin(self, row: Run) -> int:
        """Where to read on.  Reports that have become shorter are read again: steps count once by their number, costs
        by their time."""
        run = self._run
        size = run.folder.reports_size()
        if size is None or size >= row.reports_byte:
            return row.reports_byte
        counted = [cost.to_at for cost in run.ledger.reported_costs(run.run_id)]
        self._reread = (size, max(counted, default=row.created_at))
        run.event("reports", f"{run.folder.reports} was cut; what was recorded stays", f"cut:{row.reports_byte}")
        return 0

    def _problem(self, position: int, why: str) -> None:
        """A line that counts for nothing; of those with one reason the first."""
        if why in self._problems or len(self._problems) == MOST_PROBLEMS:
            return
        self._problems.add(why)
        folder = self._run.folder
        where = f"{folder.reports}, line {folder.report_number(position)}"
        self._run.event("report", f"{where} does not count, nor do more like it: {why}", f"report:{why[:200]}")

    def _cost(self, position: int, report: CostReport, at: datetime) -> list[ReportedCost]:
        """What the job says that it has used beside its machine, once."""
        run = self._run
        if self._reread is not None and position <= self._reread[0] and report.at <= self._reread[1]:
            return []
        usd_per_unit, source = self._prices.of(report)
        if usd_per_unit is not None and usd_per_unit * report.quantity > MOST_USD:
            self._problem(position, f"it comes to more than ${MOST_USD:,}")
            return []
        what = ": ".join(filter(None, (report.role, report.name)))  # as a plan's lines call tokens
        lines = "+".join(line.id for line in run.plan.lines if line.name == f"{what}, {report.unit}")
        intent = Intent(
            resource_id="/".join(filter(None, (run.run_id, report.role, report.cost, report.name, report.unit))),
            run_id=run.run_id,
            role=report.role,
            kind=report.cost,
            provider=report.provider or UNKNOWN_PROVIDER,
            price_source=source,
            tags=run.tags({"role": report.role, "unit": report.unit, LINES: lines}),
        )
        return [ReportedCost(intent=intent, quantity=report.quantity, usd_per_unit=usd_per_unit, usd=report.usd, at=at)]


class UsagePrices:
    """Prices for the reports of one plan's run.  The book is opened when the first one is asked for."""

    def __init__(self, plan: Plan) -> None:
        self._spec = plan.spec

    def of(self, report: CostReport) -> tuple[Decimal | None, str]:
        """Dollars per unit, and where they are from; None where the job states its dollars or nobody knows."""
        if report.usd is not None or report.usd_per_unit is not None:
            return report.usd_per_unit, report.source or "the job"
        if report.cost != "tokens" or report.unit not in TOKEN_COLUMNS:
            return None, "the job states no price"
        if isinstance(self._tokens, str):
            return None, self._tokens
        stated = (api for api in _apis(self._spec) if api.name == report.name)
        price = self._tokens.find(next(stated, ApiModel.model_construct(name=report.name)), report.unit)
        source = price.source + (f" of {price.as_of}" if price.as_of else "")
        return None if price.usd is None else Decimal(str(price.usd)) / TOKENS_OF_A_PRICE, source

    @cached_property
    def _tokens(self) -> TokenPrices | str:
        from clusterctl.catalog.price_book import load_book

        try:
            return TokenPrices(load_book().token_prices())
        except ClusterctlError as error:  # the run goes on, at an unknown price
            return error.message


def _apis(spec: Any) -> Iterator[ApiModel]:
    """The models behind APIs that a spec names, wherever."""
    for key, inner in spec.items() if isinstance(spec, dict) else enumerate(spec if isinstance(spec, list) else ()):
        if key == "api" and isinstance(inner, dict):
            yield ApiModel.model_validate(inner)
        else:
            yield from _apis(inner)
