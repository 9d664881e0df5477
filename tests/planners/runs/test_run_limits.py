"""What a run may use: warned at 80 %, stopped at 100 %, stopped when nothing happens."""

from __future__ import annotations

from decimal import Decimal

from planners.runs.limits import IDLE_MINUTES, LimitState, Usage, check_limits, idle_seconds

HOUR = Decimal(1)


def test_idle_as_stated_else_half_an_hour_or_three_planned_steps() -> None:
    assert idle_seconds(5.0, 3600.0) == 300.0
    assert idle_seconds(None, 60.0) == IDLE_MINUTES * 60
    assert idle_seconds(None, 3600.0) == 3 * 3600.0


def test_limits_warn_at_80_and_stop_at_100_per_cent() -> None:
    for share, standing in (("0.79", LimitState.FINE), ("0.8", LimitState.WARN), ("1", LimitState.STOP)):
        use = Usage(hours=Decimal(share))
        assert check_limits(use, limit_usd=None, limit_hours=HOUR).standing is standing
        use = Usage(known_usd=Decimal(share), unpriced=("node",))
        verdict = check_limits(use, limit_usd=Decimal(1), limit_hours=None)
        assert verdict.standing is standing
        told = "at least" in verdict.reason and "node without a known price" in verdict.reason
        assert told is (standing is not LimitState.FINE)
    used = Usage(hours=Decimal(9), known_usd=Decimal(9))
    assert check_limits(used, limit_usd=None, limit_hours=None).standing is LimitState.FINE
