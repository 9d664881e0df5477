"""What a run will have cost: the plan's band before the first step, narrower with every step, a point at the end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planners.plan.value import Band
from planners.runs.forecast import Forecast, StageProgress, forecast, runway, unit_seconds

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PLANNED = Band(p10=60.0, p50=100.0, p90=100.0 / 0.6)
USD = Band(p10=600.0, p50=1000.0, p90=1000.0 / 0.6)
BURN = Decimal(360)
"""$10 for a step of 100 s."""


def stage(done: float, seconds: list[float] | None = None, usd: Band | None = USD, units: float = 100) -> StageProgress:
    return StageProgress(planned_seconds=PLANNED, planned_usd=usd, units=units, done=done, unit_seconds=seconds or [])


def width(found: Forecast | None) -> Decimal:
    assert found is not None
    assert found.p10 <= found.p50 <= found.p90
    return found.p90 - found.p10


def test_before_it_burns_it_is_the_plan() -> None:
    found = forecast(Decimal(0), None, [stage(0)])
    assert found == Forecast(p10=Decimal(600), p50=Decimal(1000), p90=Decimal("1666.666667"), basis="the plan")


def test_the_band_narrows_with_every_step_and_is_a_point_at_the_end() -> None:
    seconds = list(100 * np.exp(np.random.default_rng(1).normal(0.3, 0.1, 100)))
    found = [
        forecast(Decimal(f"{sum(seconds[:done]) / 10:.6f}"), BURN, [stage(done, seconds[:done])])
        for done in (0, 3, 10, 30, 60, 90, 100)
    ]
    widths = [width(one) for one in found]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0
    truth = sum(seconds) / 10
    assert all(one is not None and abs(float(one.p50) / truth - 1) < 0.05 for one in found[1:]), "and it is right"


def test_steps_that_drift_say_less_than_steps_that_scatter() -> None:
    scatter = [80.0, 120.0] * 10
    _, narrow = unit_seconds(PLANNED, scatter)
    _, wide = unit_seconds(PLANNED, sorted(scatter))
    assert narrow < wide < unit_seconds(PLANNED, [])[1]


def test_the_band_covers_the_truth_about_as_often_as_it_says() -> None:
    """Runs drawn from the plan's own band: 80 % of them end within p10..p90, whenever one asks."""
    random, sigma = np.random.default_rng(7), np.log(PLANNED.p90 / PLANNED.p50) / 1.2815515655446004
    inside = []
    for _ in range(400):
        seconds = 100 * np.exp(random.normal(0, sigma)) * np.exp(random.normal(0, 0.15, 100))
        done = int(random.integers(3, 60))
        found = forecast(Decimal(f"{seconds[:done].sum() / 10:.6f}"), BURN, [stage(done, list(seconds[:done]))])
        assert found is not None
        inside.append(float(found.p10) <= seconds.sum() / 10 <= float(found.p90))
    assert 0.6 < np.mean(inside) < 0.95


def test_unknown_prices_make_no_forecast() -> None:
    assert forecast(Decimal(5), None, [stage(10, [100.0] * 10, usd=None)]) is None
    assert forecast(Decimal(5), None, []) is None
    known_later = forecast(Decimal(5), BURN, [stage(10, [100.0] * 10, usd=None)])
    assert known_later is not None
    assert known_later.p50 == pytest.approx(Decimal(905), abs=Decimal("0.01"))


def test_stages_after_the_present_one_are_as_planned() -> None:
    found = forecast(Decimal(1000), BURN, [stage(100, [100.0] * 100), stage(50, [100.0] * 50), stage(0)])
    assert found is not None
    assert found.p50 == pytest.approx(Decimal(2500), abs=Decimal("0.01"))
    assert Decimal(2050) < found.p10 < Decimal(2100), "600 of the stage to come, and a little less than 500 of this one"


@settings(max_examples=100, deadline=None)
@given(
    spent=st.decimals(0, 10**6, places=6),
    burn=st.none() | st.decimals(0, 10**5, places=4),
    done=st.integers(0, 100),
    seconds=st.lists(st.floats(0, 1e6), max_size=100),
)
def test_never_less_than_what_was_spent(spent: Decimal, burn: Decimal | None, done: int, seconds: list[float]) -> None:
    found = forecast(spent, burn, [stage(done, seconds)])
    assert found is not None
    assert spent <= found.p10 <= found.p50 <= found.p90


def test_the_hour_at_which_a_budget_runs_out() -> None:
    found = runway(Decimal(100), Decimal(40), Decimal(30), NOW)
    assert (found.left_usd, found.hours, found.at) == (Decimal(60), Decimal(2), NOW + timedelta(hours=2))
    assert runway(Decimal(100), Decimal(140), Decimal(30), NOW).hours == 0
    assert runway(Decimal(100), Decimal(40), None, NOW).at is None
    assert runway(Decimal(100), Decimal(40), Decimal(0), NOW).hours is None
    assert runway(Decimal(10**9), Decimal(0), Decimal("0.000001"), NOW).at is None
