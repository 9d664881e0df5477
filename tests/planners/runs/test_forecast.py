"""How a run ends: the plan's band before the first step, narrower with every step, a point at the end; what stops it
before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planners.plan.value import Band
from planners.runs.forecast import Forecast, Progress, StageProgress, UsdBand, forecast, step_seconds
from planners.runs.limits import RunLimits, RunRate, Usage

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLANNED = Band(p10=60.0, p50=100.0, p90=100.0 / 0.6)
HOURS = Band(p10=6000 / 3600, p50=10_000 / 3600, p90=10_000 / 0.6 / 3600)
USD = Band(p10=600.0, p50=1000.0, p90=1000.0 / 0.6)
BURN = RunRate(known_usd_per_hour=Decimal(360))
"""$10 for a step of 100 s."""


def stage(
    done: float, seconds: list[float] | None = None, *, unpriced: tuple[str, ...] = (), planned: Band = PLANNED
) -> StageProgress:
    return StageProgress(
        name="rl",
        step_seconds=planned,
        hours=HOURS,
        usd=USD,
        unpriced=unpriced,
        steps=100,
        done=done,
        seen_seconds=seconds or [],
    )


def ahead(
    spent: Decimal | int = 0,
    rate: RunRate = BURN,
    *stages: StageProgress,
    since: float | None = 0.0,
    hours: Decimal | int = 0,
    limits: RunLimits | None = None,
    unpriced: tuple[str, ...] = (),
) -> Forecast:
    used = Usage(hours=Decimal(hours), known_usd=Decimal(spent), unpriced=unpriced)
    progress = Progress(stages=stages, now=NOW, seconds_since_step=since)
    return forecast(progress, used, rate, limits or RunLimits())


def width(found: Forecast) -> Decimal:
    assert found.usd is not None
    assert found.usd.p10 <= found.usd.p50 <= found.usd.p90
    return found.usd.p90 - found.usd.p10


def test_before_it_burns_it_is_the_plan() -> None:
    found = ahead(0, BURN, stage(0), since=None)
    assert (found.usd, found.basis) == (
        UsdBand(p10=Decimal(600), p50=Decimal(1000), p90=Decimal("1666.666666667")),
        "the plan",
    )
    assert found.hours == HOURS


def test_the_band_narrows_with_every_step_and_is_a_point_at_the_end() -> None:
    seconds = list(100 * np.exp(np.random.default_rng(1).normal(0.3, 0.1, 100)))
    found = [
        ahead(Decimal(f"{sum(seconds[:done]) / 10:.6f}"), BURN, stage(done, seconds[:done]))
        for done in (0, 3, 10, 30, 60, 90, 100)
    ]
    widths = [width(one) for one in found]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0
    truth = sum(seconds) / 10
    assert all(abs(float(one.usd_at_end or 0) / truth - 1) < 0.05 for one in found[1:]), "and it is right"


def test_steps_that_drift_say_less_than_steps_that_scatter() -> None:
    scatter = [80.0, 120.0] * 10
    _, narrow = step_seconds(PLANNED, scatter)
    _, wide = step_seconds(PLANNED, sorted(scatter))
    assert narrow < wide < step_seconds(PLANNED, [])[1]


def test_the_band_covers_the_truth_about_as_often_as_it_says() -> None:
    """Runs drawn from the plan's own band: 80 % of them end within p10..p90, whenever one asks."""
    random, sigma = np.random.default_rng(7), np.log(PLANNED.p90 / PLANNED.p50) / 1.2815515655446004
    inside = []
    for _ in range(400):
        seconds = 100 * np.exp(random.normal(0, sigma)) * np.exp(random.normal(0, 0.15, 100))
        done = int(random.integers(3, 60))
        found = ahead(Decimal(f"{seconds[:done].sum() / 10:.6f}"), BURN, stage(done, list(seconds[:done]))).usd
        assert found is not None
        inside.append(float(found.p10) <= seconds.sum() / 10 <= float(found.p90))
    assert 0.6 < np.mean(inside) < 0.95


def test_what_is_unknown_stays_unknown_and_the_known_part_is_told() -> None:
    assert ahead(5, BURN).usd is None
    assert ahead(5, BURN).known_usd is None, "without a plan nobody knows"
    planned = ahead(5, BURN, stage(0, unpriced=("sandbox nodes",)), since=None)
    assert (planned.usd, planned.known_usd_at_end, planned.unpriced) == (None, 1005, ("sandbox nodes",))
    half = RunRate(known_usd_per_hour=Decimal(360), unpriced=("node/2",))
    live = ahead(5, half, stage(10, [100.0] * 10))
    assert (live.usd_at_end, live.unpriced) == (None, ("node/2",))
    assert live.known_usd_at_end == pytest.approx(Decimal(905), abs=Decimal("0.01"))
    before = ahead(5, BURN, stage(10, [100.0] * 10), unpriced=("node/1",))
    assert (before.usd, before.unpriced) == (None, ("node/1",))
    known_later = ahead(5, BURN, stage(10, [100.0] * 10, unpriced=("sandbox nodes",)))
    assert known_later.usd_at_end == pytest.approx(Decimal(905), abs=Decimal("0.01"))


def test_stages_after_the_present_one_are_as_planned() -> None:
    found = ahead(1000, BURN, stage(100, [100.0] * 100), stage(50, [100.0] * 50), stage(0)).usd
    assert found is not None
    assert found.p50 == pytest.approx(Decimal(2500), abs=Decimal("0.01"))
    assert Decimal(2050) < found.p10 < Decimal(2100), "600 of the stage to come, and a little less than 500 of this one"


def test_a_run_that_was_stopped_goes_on_at_the_pace_that_was_seen() -> None:
    found = ahead(1000, BURN, stage(50, [200.0] * 50), since=None)
    assert found.usd_at_end == pytest.approx(Decimal(2000), rel=Decimal("0.01")), "$20 a step, not the plan's 10"


@settings(max_examples=100, deadline=None)
@given(
    spent=st.decimals(0, 10**6, places=6),
    burn=st.decimals(0, 10**5, places=4),
    done=st.integers(0, 100),
    seconds=st.lists(st.floats(0, 1e6), max_size=100),
    since=st.none() | st.floats(0, 1e6),
)
def test_never_less_than_what_was_spent(
    spent: Decimal, burn: Decimal, done: int, seconds: list[float], since: float | None
) -> None:
    found = ahead(spent, RunRate(known_usd_per_hour=burn), stage(done, seconds), since=since).usd
    assert found is not None
    assert spent <= found.p10 <= found.p50 <= found.p90


def budget(
    limit: int, spent: int, usd_per_hour: str, *, since: float | None = 0.0
) -> tuple[Decimal | None, datetime | None]:
    rate, limits = RunRate(known_usd_per_hour=Decimal(usd_per_hour)), RunLimits(usd=Decimal(limit))
    found = ahead(spent, rate, stage(0), limits=limits, since=since)
    return found.left_usd, found.limit_at


def test_the_hour_at_which_a_budget_runs_out() -> None:
    assert budget(100, 40, "30") == (Decimal(60), NOW + timedelta(hours=2))
    assert budget(100, 140, "30") == (Decimal(-40), NOW)
    assert budget(100, 40, "30", since=None)[1] is None
    assert budget(100, 40, "0")[1] is None
    assert budget(10**9, 0, "0.000001")[1] is None
    assert (ahead(40, BURN, stage(0)).left_usd, ahead(40, BURN, stage(0)).limit_at) == (None, None)


EVEN = Band(p10=360.0, p50=360.0, p90=360.0)
"""A step of six minutes, for sure."""
THREE = RunRate(known_usd_per_hour=Decimal(3))


def test_time_and_dollars_at_the_end() -> None:
    found = ahead(3, THREE, stage(90, planned=EVEN), hours=1)
    assert found.seconds_left is not None
    assert found.hours is not None
    assert (found.step, found.steps, found.seconds_left.p50, found.hours.p50, found.usd_at_end) == (90, 100, 3600, 2, 6)


def test_the_limit_that_comes_first() -> None:
    def stop(usd: str, hours: int = 5) -> tuple[str, int, int] | None:
        limits = RunLimits(usd=Decimal(usd), hours=Decimal(hours))
        found = ahead(3, THREE, stage(90, planned=EVEN), hours=1, limits=limits).stop
        return found and (found.limit, found.step, found.steps)

    assert stop("4.5") == ("usd", 95, 100), "half an hour of dollars, four of hours"
    assert stop("60") is None
    assert stop("60", hours=1) == ("hours", 90, 100)
    first, second = stage(90, planned=EVEN), stage(0, planned=EVEN)
    later = ahead(3, THREE, first, second, hours=1, limits=RunLimits(usd=Decimal(506))).stop
    assert later is not None
    assert (later.limit, later.step, later.steps) == ("usd", 50, 100), "half of the second stage's planned $1,000"


def test_a_step_that_is_overdue() -> None:
    for since, overdue in ((60.0, 0.0), (7200.0, 7200.0)):
        found = ahead(0, THREE, stage(1, planned=EVEN), since=since)
        assert found.overdue_seconds == overdue
        assert found.seconds_left is not None
        left = 99 * 360.0 - min(since, 360.0)
        assert found.seconds_left.p50 == left, "the current one may end at any moment"


@given(
    st.integers(0, 99),
    st.floats(0.01, 1e4),
    st.floats(0, 1e5),
    st.decimals(0, 1000, places=2),
    st.decimals(0, 1000, places=2),
)
def test_never_backwards_and_never_beyond(done: int, pace: float, since: float, usd: Decimal, limit: Decimal) -> None:
    planned = Band(p10=pace, p50=pace, p90=pace)
    found = ahead(usd, THREE, stage(done, planned=planned), since=since, limits=RunLimits(usd=limit))
    assert found.seconds_left is not None
    assert found.usd_at_end is not None
    assert found.seconds_left.p50 >= 0
    assert found.usd_at_end >= usd
    assert found.stop is None or done <= found.stop.step < 100
    assert found.stop is not None or found.usd_at_end <= limit + Decimal("0.000001")
    assert found.stop is None or found.usd_at_end >= limit
