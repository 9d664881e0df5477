"""Merging seconds into one row per key, without polars, is what rolling up with polars does."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from planners.telemetry.roll_up import roll_up
from planners.telemetry.tables import merge, schema

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "at": st.integers(1, 10_000),
            "node": st.just("n"),
            "gpu": st.sampled_from(["0", "1"]),
            "reason": st.sampled_from([None, "no_process"]),
            "seconds": st.floats(0.1, 2.0),
            "gpu_util_pct": st.none() | st.integers(0, 100),
            "energy_j": st.none() | st.integers(0, 1000),
            "temperature_c": st.none() | st.integers(0, 100),
        }
    ),
    min_size=1,
    max_size=20,
)


@given(ROWS)
def test_the_same_as_rolling_up(rows: list[dict[str, object]]) -> None:
    frame = pl.DataFrame(
        rows,
        schema_overrides={
            "at": pl.Int64,
            "reason": pl.String,
            "gpu_util_pct": pl.UInt8,
            "energy_j": pl.UInt64,
            "temperature_c": pl.UInt8,
        },
    )
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in schema("gpu").items() if name not in frame.columns]
    typed = frame.with_columns(pl.col("at").cast(pl.Datetime("ms", "UTC")), *absent).select(schema("gpu").names())
    wanted = roll_up(typed.lazy(), "gpu", step_seconds=10).collect().sort("gpu", "reason").to_dicts()
    merged = sorted(merge("gpu", rows), key=lambda row: (row["gpu"], row["reason"] is not None, row["reason"]))
    assert len(merged) == len(wanted)
    for mine, theirs in zip(merged, wanted, strict=True):
        for name in ("gpu", "reason", "energy_j", "temperature_c"):
            assert mine[name] == theirs[name]
        assert abs(mine["seconds"] - theirs["seconds"]) < 1e-6
        assert (mine["gpu_util_pct"] is None) == (theirs["gpu_util_pct"] is None)
        if mine["gpu_util_pct"] is not None:
            assert abs(mine["gpu_util_pct"] - theirs["gpu_util_pct"]) <= 0.5 + 1e-6


def test_the_time_is_the_last_and_absent_stays_absent() -> None:
    rows = [{"at": at, "node": "n", "seconds": 1.0, "cpu_pct": None} for at in (3, 1, 2)]
    (row,) = merge("host", rows)
    assert (row["at"], row["seconds"], row["cpu_pct"], row["memory_used_mib"]) == (3, 3.0, None, None)
