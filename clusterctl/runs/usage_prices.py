"""Prices of what a job reports: what the job or the run's spec states, then the price book, else unknown."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property
from typing import Any

from clusterctl.catalog.price_book import load_book
from clusterctl.errors import ClusterctlError
from clusterctl.runs.job_reports import CostReport
from planners.plan.unit_prices import TOKEN_COLUMNS, TokenPrices
from planners.plan.value import Plan
from planners.spec.models import ApiModel

TOKENS_OF_A_PRICE = 10**6


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
