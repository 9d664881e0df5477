"""Limits during a run: warn at 80 %, stop at 100 % of what can be proved if a price is unknown, stop what is idle."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

WARN_SHARE = Decimal("0.8")
REPORTED = ("tokens", "storage", "egress")
"""Kinds of resource whose costs a job reports."""
IDLE_MINUTES = 30.0
"""Without a step, where limits.idle_minutes is not stated.  Assumption: start-up with its downloads takes less."""
IDLE_STEPS = 3.0
"""... and never before so many planned steps (P90) would have been done."""


class LimitState(StrEnum):
    """Where a run stands against its limits."""

    FINE = "fine"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run has used so far.  Hours are counted by a clock that cannot jump."""

    hours: Decimal
    priced_usd: Decimal
    """Dollars of everything with a known price: a proof, not an estimate."""
    unpriced: tuple[str, ...] = ()
    """What runs without a known price."""
    reported_usd_per_hour: Decimal = Decimal(0)
    """What the job reports beside its machine, on average; part of `priced_usd`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCheck:
    """The worst standing over all limits, and why."""

    standing: LimitState
    reason: str = ""


def check_limits(use: Usage, *, limit_usd: Decimal | None, limit_hours: Decimal | None) -> LimitCheck:
    """Where the run stands.  Dollars count what has a price: the true bill is never lower, so a stop is right."""
    note = f" (and {', '.join(use.unpriced)} without a known price)" if use.unpriced else ""
    checks = [
        (use.priced_usd, limit_usd, f"${use.priced_usd:,.4f} of ${limit_usd:,.4f}{note}" if limit_usd else ""),
        (use.hours, limit_hours, f"{_time(use.hours)} of {_time(limit_hours)}" if limit_hours else ""),
    ]
    worst = LimitCheck(standing=LimitState.FINE)
    for used, limit, text in checks:
        if limit is None:
            continue
        if used >= limit:
            return LimitCheck(standing=LimitState.STOP, reason=f"the limit is reached: {text}")
        if used >= WARN_SHARE * limit:
            worst = LimitCheck(standing=LimitState.WARN, reason=f"80 % of the limit: {text}")
    return worst


def _time(hours: Decimal) -> str:
    return f"{hours:.2f} h" if hours >= 1 else f"{hours * 60:.2f} min"


def idle_seconds(idle_minutes: float | None, planned_step_seconds: float) -> float:
    """Seconds without a step after which a run is idle: as stated, else the longer of the two defaults."""
    if idle_minutes is not None:
        return idle_minutes * 60.0
    return max(IDLE_MINUTES * 60.0, IDLE_STEPS * planned_step_seconds)


def owed(hours: Decimal, usd_per_hour: Decimal | None) -> Decimal | None:
    """Dollars of an interval, to a hundredth of a cent; None while the price is unknown."""
    return None if usd_per_hour is None else (hours * usd_per_hour).quantize(Decimal("0.000001"))
