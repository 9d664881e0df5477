"""What a rejections keeps and what it rejects is all there was, and it is counted."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from planners.search.rejections import EXAMPLES, Rejections

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["aws", "gcp"]),
        st.sampled_from(["a", "b", "c", "d", "e"]),
        st.one_of(st.none(), st.floats(0, 10)),
    ),
    max_size=30,
)


@given(rows=ROWS, limits=st.lists(st.floats(0, 10), max_size=4))
def test_a_frame_loses_and_invents_nothing(rows: list[tuple[str, str, float | None]], limits: list[float]) -> None:
    kinds = {"cloud": pl.String, "instance_type": pl.String, "usd": pl.Float64}
    frame = pl.DataFrame(rows, schema=kinds, orient="row").with_row_index("number")
    rejections, kept = Rejections(), frame
    for number, limit in enumerate(limits):
        kept = rejections.offers(kept, f"rule {number}", "too dear", pl.col("usd") <= limit)
    expected = [n for n, row in enumerate(rows) if all(row[2] is not None and row[2] <= limit for limit in limits)]
    assert kept["number"].to_list() == expected
    assert kept.height + sum(row.count for row in rejections.rejected) == frame.height
    for row in rejections.rejected:
        assert 1 <= len(row.examples) <= min(row.count, EXAMPLES)
        assert len(set(row.examples)) == len(row.examples)
        assert set(row.examples) <= {f"{cloud} {kind}" for cloud, kind, _ in rows}


@given(
    first=st.lists(st.booleans(), max_size=40),
    second=st.lists(st.booleans(), min_size=40, max_size=40),
    third=st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_rows_are_counted_by_the_first_rule_that_rejects_them(
    first: list[bool], second: list[bool], third: list[bool]
) -> None:
    size = len(first)
    rejections = Rejections()
    alive = np.array(first, dtype=bool)
    started = int(alive.sum())
    for number, keep in enumerate((second, third)):
        alive = rejections.rows(
            alive, f"rule {number}", "why", np.array(keep[:size], dtype=bool), lambda row: f"row {row}"
        )
    expected = [a and b and c for a, b, c in zip(first, second, third, strict=False)]
    assert alive.tolist() == expected
    assert int(alive.sum()) + sum(row.count for row in rejections.rejected) == started
    named = {example for row in rejections.rejected for example in row.examples}
    assert named <= {f"row {n}" for n in range(size) if first[n] and not expected[n]}


def test_nothing_rejected_is_not_mentioned() -> None:
    rejections = Rejections()
    frame = pl.DataFrame({"cloud": ["aws"], "instance_type": ["a"], "usd": [1.0]})
    assert rejections.offers(frame, "rule", "why", pl.col("usd") < 2).height == 1
    assert rejections.rejected == []
