"""What a run has used and may use: warn at 80% of a limit, stop at 100%, stop what is idle.

Where a price is unknown, a limit in dollars counts what has one: the true bill is never lower.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planners.plan.value import Plan

SECONDS_PER_HOUR = Decimal(3600)
WARN_SHARE = Decimal("0.8")
MACHINE = "machine"
"""Kind of resource that is paid for by the hour."""
STANDING = "standing"
"""Kind of what is paid by the hour as long as a run's cluster stands, also after the run: control plane, gateway …"""
REPORTED = ("tokens", "storage", "egress")
"""Kinds of resource whose costs a job reports."""
IDLE_MINUTES = 30.0
"""Without a step, where limits.idle_minutes is not stated.  Assumption: start-up with its downloads takes less."""
IDLE_STEPS = 3.0
"""... and never before so many planned steps (P90) would have been done."""
STALLED_SHARE = 0.5
"""Of the time without a step after which a run is stopped: from here on it is said.  Our convention."""


class LimitState(StrEnum):
    """Where a run stands against its limits."""

    FINE = "fine"
    WARN = "warn"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run has used so far."""

    hours: Decimal = Decimal(0)
    """During which at least one of its machines was paid."""
    known_usd: Decimal = Decimal(0)
    """Dollars of everything with a known price: a proof, not an estimate."""
    unpriced: tuple[str, ...] = ()
    """What was used at an unknown price."""

    @property
    def usd(self) -> Decimal | None:
        """The whole; None while a part of it has no known price."""
        return None if self.unpriced else self.known_usd


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRate:
    """What an hour costs: the sum over what is live, or planned."""

    known_usd_per_hour: Decimal = Decimal(0)
    unpriced: tuple[str, ...] = ()
    """What has no known price."""

    @property
    def usd_per_hour(self) -> Decimal | None:
        """The whole; None while a part of it has no known price."""
        return None if self.unpriced else self.known_usd_per_hour


def planned_rate(plan: Plan, stage: str | None = None) -> RunRate:
    """Sum over the pools of a stage of nodes x dollars per node-hour; of no stage in particular: the dearest."""
    rates: dict[str, RunRate] = {}
    for pool in plan.pools:
        if stage in (None, pool.stage):
            so_far, usd = rates.get(pool.stage, RunRate()), Decimal(str(pool.usd_per_node_hour or 0))
            rates[pool.stage] = RunRate(
                known_usd_per_hour=so_far.known_usd_per_hour + pool.nodes * usd,
                unpriced=so_far.unpriced if pool.usd_per_node_hour is not None else (*so_far.unpriced, pool.id),
            )
    return max(rates.values(), key=lambda rate: (bool(rate.unpriced), rate.known_usd_per_hour), default=RunRate())


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """What a run may use; None = no limit."""

    usd: Decimal | None = None
    hours: Decimal | None = None

    def __str__(self) -> str:
        """`$1, 0.5 h`."""
        usd = f"${self.usd.normalize():,f}" if self.usd else ""
        return ", ".join(filter(None, (usd, f"{self.hours.normalize():f} h" if self.hours else ""))) or "none"

    @classmethod
    def of(cls, plan: Plan, *, usd: Decimal | None = None, hours: Decimal | None = None) -> RunLimits:
        """Those of the plan's spec, where nothing else is asked for."""
        stated = plan.spec.get("limits", {})
        return cls(usd=usd or exact(stated.get("usd")), hours=hours or exact(stated.get("hours")))


def exact(value: float | None) -> Decimal | None:
    """A number as a person wrote it."""
    return None if value is None else Decimal(str(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCheck:
    """The worst standing over all limits, and why."""

    standing: LimitState
    reason: str = ""


def check_limits(use: Usage, *, limit_usd: Decimal | None, limit_hours: Decimal | None) -> LimitCheck:
    """Where the run stands.  Dollars count what has a price: the true bill is never lower, so a stop is right."""
    least, note = ("at least ", f" ({', '.join(use.unpriced)} without a known price)") if use.unpriced else ("", "")
    checks = [
        (use.known_usd, limit_usd, f"{least}${use.known_usd:,.4f} of ${limit_usd or 0:,.4f}{note}"),
        (use.hours, limit_hours, f"{_time(use.hours)} of {_time(limit_hours or use.hours)}"),
    ]
    worst = LimitCheck(standing=LimitState.FINE)
    for used, limit, text in checks:
        if limit is None:
            continue
        if used >= limit:
            return LimitCheck(standing=LimitState.STOP, reason=f"the limit is reached: {text}")
        if used >= WARN_SHARE * limit:
            worst = LimitCheck(standing=LimitState.WARN, reason=f"80% of the limit: {text}")
    return worst


def _time(hours: Decimal) -> str:
    return f"{hours:.2f} h" if hours >= 1 else f"{hours * 60:.2f} min"


def idle_seconds(idle_minutes: float | None, planned_step_seconds: float) -> float:
    """Seconds without a step after which a run is idle: as stated, else the longer of the two defaults."""
    if idle_minutes is not None:
        return idle_minutes * 60.0
    return max(IDLE_MINUTES * 60.0, IDLE_STEPS * planned_step_seconds)


def owed(hours: Decimal, usd_per_hour: Decimal | None) -> Decimal | None:
    """Dollars of an interval, to the millionth; None while the price is unknown."""
    return None if usd_per_hour is None else (hours * usd_per_hour).quantize(Decimal("0.000001"))
