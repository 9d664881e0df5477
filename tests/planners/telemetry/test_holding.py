"""GPUs that do nothing now: who holds them, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from planners.telemetry.holding import idle_gpus, idle_since

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rows(*cells: tuple[str, int, str | None, str | None]) -> pl.DataFrame:
    """gpu, second of its end, run, reason; each of 10 seconds."""
    frame = pl.DataFrame(list(cells), schema=["gpu", "second", "run", "reason"], orient="row").cast(
        {"run": pl.String, "reason": pl.String}
    )
    at = (pl.lit(T0) + pl.duration(seconds="second")).dt.cast_time_unit("ms")
    return frame.with_columns(at=at, node=pl.lit("n"), role=pl.lit(None, pl.String), seconds=pl.lit(10.0))


def test_held_and_free_are_told_apart_and_a_gpu_that_worked_is_neither() -> None:
    found = idle_gpus(
        rows(
            ("0", 10, "lab/a", "unknown"),
            ("0", 20, "lab/b", "unknown"),
            ("1", 10, None, "no_process"),
            ("2", 10, "lab/c", None),
            ("2", 20, "lab/c", "unknown"),
        )
    ).sort("gpu")
    assert found.select("gpu", "run", "free").rows() == [("0", "lab/b", False), ("1", None, True)]


def test_since_is_when_it_worked_last_or_when_it_was_first_seen() -> None:
    found = idle_since(
        rows(("0", 10, None, "unknown"), ("0", 20, "r", None), ("0", 30, "r", "unknown"), ("1", 30, None, "no_process"))
    ).sort("gpu")
    assert found["since"].to_list() == [T0 + timedelta(seconds=20), T0 + timedelta(seconds=20)]
    assert found["whole"].to_list() == [False, True]


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_since_is_the_end_of_the_last_interval_with_work(worked: list[bool]) -> None:
    cells = [("0", 10 * (n + 1), "r", None if busy else "unknown") for n, busy in enumerate(worked)]
    found = idle_since(rows(*cells)).row(0, named=True)
    last = max((n + 1 for n, busy in enumerate(worked) if busy), default=0)
    assert found["since"] == T0 + timedelta(seconds=10 * last)
    assert found["whole"] == (not any(worked))
