"""What a run has used of its limits: as the ledger says, and while that is away, as what was read last goes on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from clusterctl.ledger.rows import Run
from clusterctl.runs.run import OpenRun
from clusterctl.runs.run_forecast import hourly_rate, usage
from planners.runs.limits import SECONDS_PER_HOUR, LimitCheck, LimitState, RunRate, Usage, check_limits

DEADLINE_GRACE = timedelta(seconds=60)
"""From the moment at which a limit must be reached to that at which the place ends the run by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was last read of the run."""

    row: Run
    used: Usage
    rate: RunRate
    at: datetime


class LimitGuard:
    """The limits of one run."""

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self.known: _Known | None = None
        self.held: str | None = None
        """Why the run was ended while the ledger was away."""
        self.gone_at: datetime | None = None
        """When nothing of such a run was there any more: it is paid until then."""

    def check(self, row: Run) -> LimitCheck:
        """Where the run stands, by the ledger."""
        ledger, run_id = self._run.ledger, row.run_id
        used, rate = usage(ledger, run_id), hourly_rate(ledger, run_id)
        self.known = _Known(row=row, used=used, rate=rate, at=self._run.clock.now())
        return check_limits(used, limit_usd=row.limit_usd, limit_hours=row.limit_hours)

    def deadline(self) -> datetime | None:
        """When the first limit is reached at the present rate, and a grace; None without a limit that can be."""
        if (known := self.known) is None:
            return None
        hours_left = []
        if known.row.limit_hours is not None:
            hours_left.append(known.row.limit_hours - known.used.hours)
        if known.row.limit_usd is not None and known.rate.known_usd_per_hour:
            hours_left.append((known.row.limit_usd - known.used.known_usd) / known.rate.known_usd_per_hour)
        if not hours_left:
            return None
        with contextlib.suppress(OverflowError):  # beyond the calendar
            return known.at + timedelta(hours=float(max(min(hours_left), Decimal(0)))) + DEADLINE_GRACE
        return None

    def must_be_reached(self) -> bool:
        """Whether a limit must have been reached by now, at the rate that was last read."""
        if (known := self.known) is None:
            return False
        now = self._run.clock.now()
        hours = Decimal(str((now - known.at).total_seconds())) / SECONDS_PER_HOUR
        used = Usage(
            hours=known.used.hours + hours,
            known_usd=known.used.known_usd + hours * known.rate.known_usd_per_hour,
            unpriced=known.used.unpriced,
        )
        check = check_limits(used, limit_usd=known.row.limit_usd, limit_hours=known.row.limit_hours)
        if check.standing is LimitState.STOP and self.held is None:
            self.held = f"{check.reason}, while the ledger was away"
        return check.standing is LimitState.STOP

    def seen(self, now: datetime, *, there: bool) -> None:
        """A look at a run that is ended while the ledger is away."""
        if self.held is not None and not there:
            self.gone_at = self.gone_at or now
