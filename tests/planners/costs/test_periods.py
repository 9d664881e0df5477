"""Periods that people name: days of a zone add up, the period before lies just before, what is written is read again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.costs.periods import CALENDAR, Period, Trend, before, local_days, moment, so_far, trend, written

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from([ZoneInfo(name) for name in ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")])
MOMENTS = st.datetimes(datetime(2010, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
LENGTHS = st.timedeltas(timedelta(seconds=1), timedelta(days=70))


@given(MOMENTS, LENGTHS, ZONES)
def test_days_add_up_to_the_period(start: datetime, length: timedelta, zone: ZoneInfo) -> None:
    days = local_days(Period(start, start + length), zone)
    assert days[0].start == start
    assert days[-1].end == start + length
    assert all(one.end == other.start for one, other in pairwise(days))
    assert all(day.whole for day in days[1:-1])
    assert [day.day for day in days] == sorted({day.day for day in days})


@given(MOMENTS, ZONES, st.sampled_from(CALENDAR))
def test_what_is_so_far_ends_now_and_the_period_before_lies_before_it(end: datetime, zone: ZoneInfo, name: str) -> None:
    period = so_far(name, end, zone)  # type: ignore[arg-type]
    assert period.start < period.end == end
    there = period.start.astimezone(zone)
    assert (there.hour, there.minute) == (0, 0)
    earlier = before(period, name, zone)
    assert earlier.start < earlier.end <= period.start


@given(MOMENTS, LENGTHS, ZONES)
def test_any_other_period_has_one_as_long_just_before(start: datetime, length: timedelta, zone: ZoneInfo) -> None:
    assert before(Period(start, start + length), "7d", zone) == (start - length, start)


@given(MOMENTS, ZONES, st.booleans())
def test_what_is_written_is_read_again_to_the_minute(at: datetime, zone: ZoneInfo, up: bool) -> None:
    read = moment(written(at, zone, up=up), ZoneInfo("Pacific/Auckland"))
    assert (read >= at) if up else (read <= at)
    assert abs(read - at) < timedelta(minutes=1)


def test_days_are_those_of_the_zone_also_where_a_clock_is_changed() -> None:
    """On 29 March 2026 clocks in Berlin went from 2:00 to 3:00."""
    (day,) = local_days(so_far("today", datetime(2026, 3, 29, 22, tzinfo=UTC), BERLIN), BERLIN)
    assert (day.day, day.end - day.start, day.whole) == (date(2026, 3, 29), timedelta(hours=23), True)


@pytest.mark.parametrize(
    ("name", "end", "start", "earlier"),
    [
        ("today", "2026-08-04 10:00", "2026-08-04 00:00", ("2026-08-03 00:00", "2026-08-03 10:00")),
        ("today", "2026-08-05 00:00", "2026-08-04 00:00", ("2026-08-03 00:00", "2026-08-04 00:00")),
        ("week", "2026-08-05 10:00", "2026-08-03 00:00", ("2026-07-27 00:00", "2026-07-29 10:00")),
        ("month", "2026-08-05 10:00", "2026-08-01 00:00", ("2026-07-01 00:00", "2026-07-05 10:00")),
        ("month", "2026-03-31 10:00", "2026-03-01 00:00", ("2026-02-01 00:00", "2026-03-01 00:00")),
        ("month", "2026-08-01 00:00", "2026-07-01 00:00", ("2026-06-01 00:00", "2026-07-01 00:00")),
        ("today", "2026-03-30 09:00", "2026-03-30 00:00", ("2026-03-29 00:00", "2026-03-29 09:00")),
    ],
)
def test_periods_of_the_calendar(name: str, end: str, start: str, earlier: tuple[str, str]) -> None:
    period = so_far(name, moment(end, BERLIN), BERLIN)  # type: ignore[arg-type]
    assert period.start == moment(start, BERLIN)
    assert before(period, name, BERLIN) == tuple(moment(each, BERLIN) for each in earlier)


def test_a_moment_is_of_the_viewers_zone_unless_it_says_another() -> None:
    for text in ("2026-08-04 14:05", "2026-08-04T14:05+02:00", "2026-08-04 12:05Z", " 2026-08-04T12:05:00+00:00 "):
        assert moment(text, BERLIN) == datetime(2026, 8, 4, 12, 5, tzinfo=UTC)
    assert moment("2026-08-04", BERLIN) == datetime(2026, 8, 3, 22, tzinfo=UTC)
    assert moment("2026-08-04", BERLIN, ends=True) == datetime(2026, 8, 4, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "0001-01-01", "9999-12-31 23:59", "04.08.2026", "2026"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"year|isoformat|month"):
        moment(text, BERLIN)


def test_a_trend_knows_what_it_does_not_know() -> None:
    assert trend(None, 1.0) is trend(1.0, None) is None
    assert (Trend(110.0, 100.0).direction, Trend(90.0, 100.0).direction, Trend(100.2, 100.0).direction) == (1, -1, 0)
    assert Trend(5.0, 0.0).change is None
    assert (Trend(5.0, 0.0).direction, Trend(0.0, 0.0).direction) == (1, 0)
