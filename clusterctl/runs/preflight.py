"""Before money is spent: are the prices known and fresh, does the plan stay within its limits, what are the choices?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from clusterctl.errors import Infeasible, PriceError
from planners.plan.old_prices import MOST_SHARE, old_prices
from planners.plan.value import PRICE_OLD_DAYS, Plan
from planners.runs.forecast import Forecast
from planners.runs.limits import RunLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the person has accepted in words."""

    unknown_price: bool = False
    over_limit: bool = False
    old_prices: bool = False


def check_money(plan: Plan, allowed: Allowed, ahead: Forecast, *, now: datetime) -> str:
    """Refuses a plan whose prices are unknown or old, or whose P90 breaks its limits, unless that was accepted.

    ahead: how the run will go under its limits.  What a person should know of its prices all the same; empty = nothing.
    Raises PriceError or Infeasible, with the choices.
    """
    limits = ahead.limits
    if plan.at_least and not allowed.unknown_price:
        names = ", ".join(line.name for line in plan.lines if line.usd is None)
        stop = f"is stopped after {limits.hours:g} h" if limits.hours else "has no limit in hours: nothing stops it"
        raise PriceError(
            f"`{plan.name}` has no known price for {names}: its cost is unknown",
            hint="choose:\n  state the price: usd_per_hour under fleet.machines, or prices.rates\n"
            f"  --allow-unknown-price: start anyway; it {stop}",
        )
    old = old_prices(plan, today=now.date())
    if old is not None and old.must_be_allowed and not allowed.old_prices:
        raise PriceError(
            f"`{plan.name}`: {old.text}; {MOST_SHARE:.0%} may be over {PRICE_OLD_DAYS} days old",
            hint="choose:\n  `clusterctl prices refresh`, and plan again\n"
            "  --allow-old-prices: start anyway; the bill uses the old prices",
        )
    bands = {"usd": (ahead.known_usd, limits.usd), "hours": (ahead.hours, limits.hours)}
    over = {
        name: (float(band.p50), float(band.p90), float(limit))
        for name, (band, limit) in bands.items()
        if band is not None and limit is not None and band.p90 > limit
    }
    if over and not allowed.over_limit:
        texts = [
            f"P90 is {_amount(name, p90)} (P50 {_amount(name, p50)}) against limits.{name} of {_amount(name, limit)}"
            for name, (p50, p90, limit) in over.items()
        ]
        raised = " ".join(f"--limit-{name} {above(p90)}" for name, (_, p90, _) in over.items())
        share = min(limit / p90 for _, p90, limit in over.values())
        raise Infeasible(
            f"`{plan.name}` may exceed its limits: {'; '.join(texts)}",
            hint="choose:\n" + "\n".join(_choices(plan, limits, raised, share)),
        )
    return old.text if old is not None else ""


def _choices(plan: Plan, limits: RunLimits, raised: str, share: float) -> list[str]:
    """What a person can do about a plan that may exceed its limits.

    raised: the options that raise them; share: of the work that is done at the limit, at the P90.
    """
    units = plan.stages[0].units
    stop = "shortly before its end" if share > 0.99 else f"about {share:.0%} through at the P90"
    if len(plan.stages) == 1:
        stop += f" ({plan.stages[0].unit} {units * share:,.0f} of {units:,.0f})"
    found = [
        f"  --allow-over-limit: start anyway; at the limit its work is saved and it is stopped, {stop}",
        f"  {raised}: raise the limit to what it may need",
    ]
    for other in plan.alternatives:
        fits = (limits.usd is None or other.usd.p90 <= limits.usd) and (
            limits.hours is None or other.hours.p90 <= limits.hours
        )
        if fits:
            found.append(
                f"  `clusterctl plan SPEC --pick {other.number} --out plan.json`: {other.fleet} stays within them "
                f"(P90 {_amount('usd', other.usd.p90)}, {_amount('hours', other.hours.p90)})"
            )
            break
    return found


def _amount(name: str, value: float) -> str:
    return f"${value:,.4g}" if name == "usd" else f"{value:,.4g} h"


def above(value: float) -> str:
    """A number a little above, that a person can type, in two digits: 0.0024321 -> 0.0025."""
    step = Decimal(1).scaleb(Decimal(str(value)).adjusted() - 1)
    return f"{((Decimal(str(value)) // step + 1) * step).normalize():f}"
