"""How much of a plan's dollars rests on prices that are too old to spend on unasked: the only place of that rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planners.plan.value import PRICE_OLD_DAYS

if TYPE_CHECKING:
    from datetime import date

    from planners.plan.value import Plan

MOST_SHARE = 0.05
"""Of a plan's dollars, that may rest on old prices without a word from the user.  Had they all doubled since, the plan
would be 5% too low: less than its own band.  Gateways, disks and control planes are below that.  Assumption."""

FEW_USD = 10.0
"""So many dollars on old prices are never asked about, whatever share of a small run they are.  Assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OldPrices:
    """Lines of a plan whose price is over PRICE_OLD_DAYS old, or of unknown age; the user's own have no age."""

    lines: tuple[str, ...]
    """Names, the dearest first."""
    age_days: int | None
    """Of the oldest; None where no price of them has a date."""
    usd: float
    """On these prices."""
    share: float
    """Of the plan's priced dollars, 0 to 1."""

    @property
    def must_be_allowed(self) -> bool:
        """Whether a person must say that these prices will do."""
        return self.share > MOST_SHARE and self.usd > FEW_USD

    @property
    def text(self) -> str:
        """`the price of boot disks (and of 2 more lines) is up to 882 days old: 0.2% of the dollars`."""
        age = "of unknown age" if self.age_days is None else f"up to {self.age_days} days old"
        more = f" (and of {len(self.lines) - 1} more lines)" if len(self.lines) > 1 else ""
        part = f"{self.share:.1%}" if self.share >= 0.001 else "less than 0.1%"
        return f"the price of {self.lines[0]}{more} is {age}: {part} of the dollars"


def old_prices(plan: Plan, *, today: date) -> OldPrices | None:
    """None where every price is younger than PRICE_OLD_DAYS."""
    undated = set(plan.prices.undated)
    priced = [line for line in plan.lines if line.usd]
    old = [
        line
        for line in priced
        if (line.as_of is None and line.name in undated)
        or (line.as_of is not None and (today - line.as_of).days > PRICE_OLD_DAYS)
    ]
    if not old:
        return None
    old.sort(key=lambda line: -(line.usd or 0.0))
    ages = [(today - line.as_of).days for line in old if line.as_of is not None]
    usd = sum(line.usd or 0.0 for line in old)
    return OldPrices(
        lines=tuple(dict.fromkeys(line.name for line in old)),
        age_days=max(ages, default=None),
        usd=usd,
        share=usd / sum(line.usd or 0.0 for line in priced),
    )
