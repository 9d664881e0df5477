"""Numbers as people read them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.ui import formats as r
from planners.plan.value import Band

AMOUNTS = st.floats(1e-4, 1e12, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (15_437.2, "$15,400"),
        (4.284, "$4.28"),
        (51.408, "$51.41"),
        (440.3, "$440"),
        (0.0231, "$0.0231"),
        (0, "$0"),
        (1_543_000, "$1.54M"),
        (2.5e9, "$2.50B"),
        (999_999, "$1.00M"),
        (-480, "−$480"),
        (None, "unknown"),
    ],
)
def test_dollars(value: float | None, text: str) -> None:
    assert r.usd(value) == text


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        (0.01, "36 s"),
        (0.1, "6.0 min"),
        (1.1, "66 min"),
        (4.23, "4.2 h"),
        (31.2, "31 h"),
        (47.9, "48 h"),
        (55, "2.3 d"),
        (720, "30 d"),
    ],
)
def test_durations(hours: float, text: str) -> None:
    assert r.hours(hours) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1152, "1,152"),
        (61.4, "61.4"),
        (2.46e9, "2.46 G"),
        (989.4e12, "989 T"),
        (0.00423, "0.00423"),
        (None, "unknown"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert r.number(value) == text


def test_a_bill_is_exact_and_prices_lose_no_digit() -> None:
    assert [r.exact_usd(value) for value in (13_649.92, 87.63, None)] == ["$13,650", "$87.63", "unknown"]
    assert [r.unit_price(value) for value in (55.04, 4.284, 0.023, 63.296, 3, None)] == [
        "$55.04",
        "$4.284",
        "$0.023",
        "$63.296",
        "$3.00",
        "unknown",
    ]


def test_changes_carry_their_sign_and_equal_is_equal() -> None:
    assert (r.signed_usd(180), r.signed_usd(-2900), r.signed_usd(0.001)) == ("+$180", "−$2,900", "=")
    assert (r.signed_hours(13), r.signed_hours(-0.4), r.signed_hours(0)) == ("+13 h", "−24 min", "=")
    assert (r.signed_percent(1.12), r.signed_percent(0.5), r.signed_percent(1), r.signed_percent(11.2)) == (
        "+12%",
        "−50%",
        "=",
        "×11",
    )


def test_a_column_has_equal_decimals() -> None:
    assert r.column([139, 58, 11.3, 9.1]) == ["139", "58", "11", "9"]
    assert r.column([5.31, 0.21, 0.001]) == ["5.31", "0.21", "<0.01"]
    assert r.column([]) == []


def test_a_band_is_written_in_the_unit_of_its_middle() -> None:
    assert r.hours_band(Band(p10=27.0, p50=31.0, p90=60.4)) == ("31 h", "(27–60)")
    assert r.usd_band(Band(p10=13_100, p50=15_437, p90=20_300)) == ("$15,400", "($13,100–$20,300)")


@given(AMOUNTS)
def test_rounding_dollars_is_off_by_less_than_half_a_percent(value: float) -> None:
    text = r.usd(value)
    factor = {"M": 1e6, "B": 1e9}.get(text[-1], 1.0)
    said = float(re.sub(r"[$,MB]", "", text)) * factor
    assert math.isclose(said, value, rel_tol=0.0051)


@given(AMOUNTS)
def test_every_positive_number_shows_a_digit_that_is_not_zero(value: float) -> None:
    assert re.search(r"[1-9]", r.number(value))
    assert re.search(r"[1-9]", r.hours(value))
    assert re.search(r"[1-9]", r.percent(value / 1e6))
