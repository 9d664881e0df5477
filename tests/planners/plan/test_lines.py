"""A total is the sum of its known lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.plan.cost_lines import EstimateLine, total_usd
from planners.plan.unit_prices import UnitPrice

LINE = st.builds(
    EstimateLine,
    name=st.just("line"),
    stage=st.just("rlcef"),
    quantity=st.floats(0, 1e6),
    price=st.builds(
        UnitPrice,
        usd=st.one_of(st.none(), st.floats(0, 1e3)),
        unit=st.just("node-hours"),
        source=st.just("book"),
        as_of=st.none(),
    ),
    amount=st.just("nodes × hours"),
    scales_with_hours=st.booleans(),
)


@given(lines=st.lists(LINE, max_size=10))
def test_a_total_is_the_sum_of_what_has_a_price(lines: list[EstimateLine]) -> None:
    known = [line for line in lines if line.price.usd is not None]
    assert total_usd(lines) == pytest.approx(sum(line.quantity * (line.price.usd or 0.0) for line in known))
    assert total_usd(known) == total_usd(lines)
    assert all((line.usd is None) == (line.price.usd is None) for line in lines)
