"""A total is the sum of its known lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.plan.cost_lines import CostLine, total_usd

LINE = st.builds(
    CostLine,
    name=st.just("line"),
    stage=st.just("rlcef"),
    unit=st.just("node-hours"),
    quantity=st.floats(0, 1e6),
    usd_per_unit=st.one_of(st.none(), st.floats(0, 1e3)),
    source=st.just("book"),
    scales_with_hours=st.booleans(),
)


@given(lines=st.lists(LINE, max_size=10))
def test_a_total_is_the_sum_of_what_has_a_price(lines: list[CostLine]) -> None:
    known = [line for line in lines if line.usd_per_unit is not None]
    assert total_usd(lines) == pytest.approx(sum(line.quantity * (line.usd_per_unit or 0.0) for line in known))
    assert total_usd(known) == total_usd(lines)
    assert all((line.usd is None) == (line.usd_per_unit is None) for line in lines)
