"""Where a run will end at its pace, and which of its limits stops it first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from planners.runs.limits import IDLE_MINUTES, LimitState, Usage, check_limits, idle_seconds
from planners.runs.outlook import Spending, outlook, pace_seconds

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOUR = Decimal(1)


def spent(**changes: Decimal | bool | None) -> Spending:
    given_: dict[str, Decimal | bool | None] = {
        "hours": HOUR,
        "known_usd": Decimal(3),
        "priced": True,
        "usd_per_hour": Decimal(3),
    }
    return Spending(**given_ | changes)  # type: ignore[arg-type]


def test_the_pace_is_the_median_of_recent_steps_and_the_plan_before() -> None:
    at = [NOW + timedelta(seconds=s) for s in (0, 2, 4, 904, 906, 908)]  # a stop of a quarter of an hour
    assert pace_seconds(at, 7.0) == 2.0
    assert pace_seconds(at[:1], 7.0) == pace_seconds([], 7.0) == 7.0


def test_dollars_at_the_end() -> None:
    ahead = outlook(done=10, of=20, step_seconds=360.0, since_step_seconds=0.0, spending=spent())
    assert (ahead.seconds_left, ahead.hours_at_end, ahead.usd_at_end) == (3600.0, 2, 6)
    unknown = outlook(done=10, of=20, step_seconds=360.0, since_step_seconds=0.0, spending=spent(usd_per_hour=None))
    assert unknown.usd_at_end is None
    assert outlook(done=1, of=2, step_seconds=1, since_step_seconds=0, spending=spent(priced=False)).usd_at_end is None


def test_the_limit_that_comes_first() -> None:
    both = spent(limit_usd=Decimal("4.5"), limit_hours=Decimal(5))  # half an hour of dollars, four of hours
    ahead = outlook(done=10, of=20, step_seconds=360.0, since_step_seconds=0.0, spending=both)
    assert (ahead.stops_at_step, ahead.stopped_by) == (15, "usd")
    far = spent(limit_usd=Decimal(60), limit_hours=Decimal(5))
    assert outlook(done=10, of=20, step_seconds=360.0, since_step_seconds=0.0, spending=far).stops_at_step is None


def test_a_step_that_is_overdue() -> None:
    for since, overdue in ((60.0, 0.0), (1200.0, 1200.0)):
        ahead = outlook(done=1, of=20, step_seconds=60.0, since_step_seconds=since, spending=spent())
        assert ahead.overdue_seconds == overdue
        assert ahead.seconds_left == 18 * 60.0, "the current one may end at any moment"


@given(
    st.integers(0, 50),
    st.integers(1, 50),
    st.floats(0.01, 1e4),
    st.floats(0, 1e5),
    st.decimals(0, 1000, places=2),
    st.decimals(0, 1000, places=2),
)
def test_never_backwards_and_never_beyond(
    done: int, more: int, pace: float, since: float, usd: Decimal, limit: Decimal
) -> None:
    spending = spent(known_usd=usd, limit_usd=limit)
    ahead = outlook(done=done, of=done + more, step_seconds=pace, since_step_seconds=since, spending=spending)
    assert ahead.seconds_left >= 0
    assert ahead.usd_at_end is not None
    assert ahead.usd_at_end >= usd
    assert ahead.stops_at_step is None or done <= ahead.stops_at_step < done + more
    assert (ahead.stops_at_step is None) == (ahead.usd_at_end <= limit or ahead.stopped_by == "")


def test_idle_as_stated_else_half_an_hour_or_three_planned_steps() -> None:
    assert idle_seconds(5.0, 3600.0) == 300.0
    assert idle_seconds(None, 60.0) == IDLE_MINUTES * 60
    assert idle_seconds(None, 3600.0) == 3 * 3600.0


def test_limits_warn_at_80_and_stop_at_100_per_cent() -> None:
    for share, standing in (("0.79", LimitState.FINE), ("0.8", LimitState.WARN), ("1", LimitState.STOP)):
        use = Usage(hours=Decimal(share), priced_usd=Decimal(0))
        assert check_limits(use, limit_usd=None, limit_hours=HOUR).standing is standing
        use = Usage(hours=Decimal(0), priced_usd=Decimal(share), unpriced=("node",))
        verdict = check_limits(use, limit_usd=Decimal(1), limit_hours=None)
        assert verdict.standing is standing
        assert ("node without a known price" in verdict.reason) is (standing is not LimitState.FINE)
    assert (
        check_limits(Usage(hours=Decimal(9), priced_usd=Decimal(9)), limit_usd=None, limit_hours=None).standing
        is LimitState.FINE
    )
