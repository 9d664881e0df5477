"""Rules on what a run costs.  Thresholds that are not stated are choices of this project, not taken from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from planners.rules.rule import Rule, RuleSetting, RunFacts, RunRule, Violation
from planners.spec.spec_model import Usd, UsdPerHour, Weight


class UsdIncreaseSetting(RuleSetting):
    """`usd-increase`."""

    usd: UsdPerHour = Field(1000, description="Dollars by which a run may become dearer.")


class PercentIncreaseSetting(RuleSetting):
    """`percent-increase`."""

    percent: Weight = Field(20, description="Percent by which a run may become dearer.")
    from_usd: UsdPerHour = Field(100, description="Smaller increases than this are let pass, in dollars.")


class BudgetSetting(RuleSetting):
    """`budget-crossed`."""

    usd: Usd | None = Field(None, description="Dollars of a run; default: its own limits.usd.")
    percentile: Literal["p50", "p90"] = Field("p90", description="Of the run's cost.")


class BurnRateSetting(RuleSetting):
    """`burn-rate`."""

    usd_per_hour: Usd | None = Field(None, description="Dollars an hour of a run; default: none.")


def dollars(usd: float) -> str:
    """`$1,234`; cents below a hundred."""
    return f"${usd:,.2f}" if abs(usd) < 100 else f"${usd:,.0f}"


def _increase(facts: RunFacts) -> tuple[float, float] | None:
    """Dollars before and after; None where one of them isn't known whole."""
    if facts.before is None or facts.before.at_least or facts.after.at_least:
        return None
    return facts.before.usd.p50, facts.after.usd.p50


def _usd_increase(facts: RunFacts, setting: UsdIncreaseSetting) -> Iterator[Violation]:
    after = facts.after.usd.p50
    before = 0.0 if facts.before is None else (_increase(facts) or (after, after))[0]
    if after - before > setting.usd:
        new = "a new run costs" if facts.before is None else "the run becomes dearer by"
        yield Violation(message=f"{new} {dollars(after - before)}, more than {dollars(setting.usd)}")


def _percent_increase(facts: RunFacts, setting: PercentIncreaseSetting) -> Iterator[Violation]:
    known = _increase(facts)
    if known is None or known[0] <= 0:
        return
    before, after = known
    percent = 100 * (after / before - 1)
    if percent > setting.percent and after - before >= setting.from_usd:
        said = f"{percent:,.0f}%, from {dollars(before)} to {dollars(after)}"
        yield Violation(message=f"the run becomes dearer by {said}: more than {setting.percent:g}%")


def _budget_crossed(facts: RunFacts, setting: BudgetSetting) -> Iterator[Violation]:
    own = facts.after.spec.get("limits", {}).get("usd")
    budget = setting.usd if setting.usd is not None else own
    if budget is None:
        return
    after = getattr(facts.after.usd, setting.percentile)
    before = None if facts.before is None else getattr(facts.before.usd, setting.percentile)
    if after > budget and (before is None or before <= budget):
        at_least = "at least " if facts.after.at_least else ""
        risk = "" if setting.percentile == "p50" else "one time in ten "
        came = "" if before is None else f"; before the change {dollars(before)}"
        whose = "the budget" if setting.usd is not None else "limits.usd"
        yield Violation(
            message=f"{risk}the run costs {at_least}more than {dollars(after)}, and {whose} is {dollars(budget)}{came}",
            field=("limits", "usd"),
        )


def _burn_rate(facts: RunFacts, setting: BurnRateSetting) -> Iterator[Violation]:
    rate = facts.after.known_usd_per_hour
    if setting.usd_per_hour is not None and rate > setting.usd_per_hour:
        at_least = "" if facts.after.usd_per_hour is not None else "at least "
        limit = dollars(setting.usd_per_hour)
        yield Violation(message=f"the run costs {at_least}{dollars(rate)} an hour, more than {limit}", key="rate")


def _unknown_price(facts: RunFacts, _setting: RuleSetting) -> Iterator[Violation]:
    unpriced = sorted({line.name for line in facts.after.lines if line.usd is None})
    if unpriced or facts.after.at_least:
        names = ", ".join(unpriced[:3]) + (f" and {len(unpriced) - 3} more" if len(unpriced) > 3 else "")
        known = dollars(facts.after.usd.p50)
        yield Violation(
            message=f"no price is known of {names or 'a part of the run'}: its sum is at least {known}",
            key=",".join(unpriced),
        )


RUN_MONEY: tuple[RunRule, ...] = (
    RunRule(
        rule=Rule(
            id="usd-increase",
            group="money",
            summary="A run becomes dearer by more than `usd` dollars, or a new one costs more than that.",
            why="A large sum deserves a second look before it is spent.",
            setting=UsdIncreaseSetting,
        ),
        problems=_usd_increase,
        is_about_change=True,
    ),
    RunRule(
        rule=Rule(
            id="percent-increase",
            group="money",
            summary="A run becomes dearer by more than `percent` percent.",
            why="A small change of a spec that makes a run much dearer is often a mistake.",
            setting=PercentIncreaseSetting,
        ),
        problems=_percent_increase,
        is_about_change=True,
    ),
    RunRule(
        rule=Rule(
            id="budget-crossed",
            group="money",
            summary="The cost of a run rises above its budget, `usd` or limits.usd, which it kept before.",
            why="A run that meets its limit is stopped before its work is done.",
            setting=BudgetSetting,
        ),
        problems=_budget_crossed,
        is_about_change=True,
    ),
    RunRule(
        rule=Rule(
            id="burn-rate",
            group="money",
            summary="A run costs more than `usd_per_hour` dollars an hour.",
            why="A fault that nobody sees over a night costs this times the hours.",
            setting=BurnRateSetting,
        ),
        problems=_burn_rate,
    ),
    RunRule(
        rule=Rule(
            id="unknown-price",
            group="money",
            summary="A line of a run's bill has no price.",
            why="Its sum is then a lower bound, and a comparison by it is none.",
        ),
        problems=_unknown_price,
    ),
)
