"""Results are remembered by what the arguments hold, and by which frame they are."""

from __future__ import annotations

import polars as pl

from planners.remembered import remembered


def test_the_same_question_is_worked_out_once() -> None:
    asked = []

    @remembered(2)
    def total(frame: pl.DataFrame, factors: list[int], *, more: float = 0.0) -> float:
        asked.append(more)
        return float(frame["a"].sum()) * sum(factors) + more

    frame, same = pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1, 2]})
    assert total(frame, [1, 2]) == total(frame, [1, 2]) == 9
    assert total(frame, [1, 3]) == 12, "other values"
    assert len(asked) == 2
    assert total(same, [1, 2]) == 9, "another frame, whatever it holds"
    assert total(frame, [1, 3], more=1.0) == 13
    assert len(asked) == 4
    assert total(frame, [1, 2]) == 9
    assert len(asked) == 5, "the oldest is forgotten"
