"""Runs of several stages against brute force, and what an objective makes small."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from planners.search.combine import FRONT_LIMIT, NEAR_EQUAL, Runs, combine, score
from planners.search.pareto import pair
from planners.search.pricing import Rows

ROW = st.tuples(
    st.integers(0, 3), st.integers(1, 30).map(float), st.integers(1, 30).map(float), st.integers(0, 3).map(float)
)
STAGE = st.lists(ROW, max_size=8)


def rows_of(stage: list[tuple[int, float, float, float]]) -> Rows:
    columns = np.array(stage, dtype=np.float64).reshape(len(stage), -1).T if stage else np.empty((5, 0))
    zeros = np.zeros(len(stage))
    unpriced = columns[4] if len(columns) > 4 else zeros
    return Rows(
        offer=columns[0].astype(np.int64),
        candidate=np.arange(len(stage)),
        usd=columns[1],
        unpriced=unpriced,
        hours=columns[2],
        interruptions=columns[3],
        usd_per_hour=zeros,
        gpus=zeros,
        sandbox_nodes=zeros,
    )


def runs_at(usd: NDArray[np.float64], hours: NDArray[np.float64]) -> Runs:
    none = np.zeros(len(usd))
    rows = none.astype(np.int64)
    return Runs(offer=rows, rows=rows[:, None], usd=usd, unpriced=none, hours=hours, interruptions=none)


def brute(stages: list[list[tuple[int, float, float, float]]], tied: list[bool]) -> list[tuple[float, float]]:
    """(dollars, hours) of every run whose stages on GPUs share an offer."""
    return [
        (sum(row[1] for row in rows), sum(row[2] for row in rows))
        for rows in itertools.product(*stages)
        if len({row[0] for row, on_gpus in zip(rows, tied, strict=True) if on_gpus}) <= 1
    ]


@given(
    stages=st.lists(STAGE, min_size=1, max_size=3),
    tied=st.lists(st.booleans(), min_size=3, max_size=3),
    objective=st.sampled_from(["cost", "time", "balanced"]),
)
def test_the_best_run_is_the_best_of_all_combinations(
    stages: list[list[tuple[int, float, float, float]]], tied: list[bool], objective: str
) -> None:
    tied = tied[: len(stages)]
    each = [rows_of(stage) for stage in stages]
    runs = combine(each, [rows.offer if on_gpus else None for rows, on_gpus in zip(each, tied, strict=True)])
    every = brute(stages, tied)
    assert bool(every) == bool(len(runs.offer))
    if not every:
        assert runs.rows.shape == (0, len(stages))
        return
    usd, hours = np.array(every).T
    all_runs = Runs(
        offer=np.zeros(len(usd), dtype=np.int64),
        rows=np.zeros((len(usd), len(stages)), dtype=np.int64),
        usd=usd,
        unpriced=np.zeros(len(usd)),
        hours=hours,
        interruptions=usd,
    )
    assert score(runs, objective).min() == pytest.approx(score(all_runs, objective).min())
    for run in range(len(runs.offer)):
        chosen = [rows.take(np.array([row])) for rows, row in zip(each, runs.rows[run], strict=True)]
        assert runs.usd[run] == pytest.approx(sum(float(rows.usd[0]) for rows in chosen))
        assert runs.hours[run] == pytest.approx(sum(float(rows.hours[0]) for rows in chosen))
        assert runs.interruptions[run] == pytest.approx(sum(float(rows.interruptions[0]) for rows in chosen))
        offers = {int(rows.offer[0]) for rows, on_gpus in zip(chosen, tied, strict=True) if on_gpus}
        assert offers <= {int(runs.offer[run])}


@given(
    stages=st.lists(st.lists(st.tuples(*[st.integers(0, 2)] * 5), min_size=1, max_size=6), min_size=1, max_size=2),
    objective=st.sampled_from(["cost", "time", "balanced"]),
)
def test_an_unknown_price_never_wins_over_a_known_one(stages: list[list[tuple[int, ...]]], objective: str) -> None:
    each = [rows_of([(0, 10.0 * row[1], 1.0 + row[2], 0.0, float(row[4] > 1)) for row in stage]) for stage in stages]
    runs = combine(each, [rows.offer for rows in each])
    is_priced = runs.unpriced == 0
    possible = all((rows.unpriced == 0).any() for rows in each)
    assert is_priced.any() == possible, "the cheapest whose price is known stays on the front"
    if possible:
        assert runs.usd[is_priced].min() == sum(rows.usd[rows.unpriced == 0].min() for rows in each)
    best = int(np.argmin(score(runs, objective)))
    rivals = is_priced & (runs.hours <= (1 + NEAR_EQUAL) * runs.hours.min()) if objective == "time" else is_priced
    assert is_priced[best] or not rivals.any()
    assert not (rivals & (runs.usd < runs.usd[best]) & (runs.hours <= runs.hours[best])).any()


def test_of_equally_cheap_runs_that_are_quick_the_fastest_is_the_end_of_the_knee() -> None:
    runs = runs_at(np.array([3.0, 4.0, 4.0]), np.array([22.0, 21.0, 20.0]))
    assert int(np.argmin(score(runs, "time"))) == 2


def test_long_fronts_are_thinned_and_keep_their_ends() -> None:
    points = [(0, float(n), float(300 - n), 0.0) for n in range(1, 200)]
    runs = combine([rows_of(points), rows_of(points)], [np.zeros(199, dtype=np.int64)] * 2)
    assert len(runs.offer) <= FRONT_LIMIT
    assert runs.usd.min() == 2.0
    assert runs.hours.min() == 2 * 101.0


@given(data=st.lists(st.tuples(st.floats(1, 1e6), st.floats(0.1, 700)), min_size=1, max_size=20))
def test_objectives_pick_what_they_say(data: list[tuple[float, float]]) -> None:
    usd, hours = np.array(data).T
    runs = runs_at(usd, hours)
    cheap = int(np.argmin(score(runs, "cost")))
    near = usd <= (1 + NEAR_EQUAL) * usd.min()
    assert near[cheap]
    assert not (near & (hours < hours[cheap] / (1 + 1.1 * NEAR_EQUAL))).any(), "no near-equal is much faster"
    quick = hours <= (1 + NEAR_EQUAL) * hours.min()
    assert usd[np.argmin(score(runs, "time"))] == usd[quick].min()
    knee, fast = (int(np.argmin(score(runs, objective))) for objective in ("balanced", "time"))
    assert usd[knee] <= max(usd[cheap], usd[fast]) * (1 + NEAR_EQUAL)
    assert hours[knee] <= max(hours[cheap], hours[fast]) * (1 + NEAR_EQUAL)


def test_the_knee_of_a_front_is_not_its_end() -> None:
    """An hour of every run is lost to start-up: 4 nodes cost 3 % more than one, 64 cost 62 % more."""
    nodes = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    hours = 100.0 / nodes + 1.0
    runs = runs_at(nodes * hours, hours)
    for objective, expected in (("cost", 4.0), ("balanced", 16.0), ("time", 64.0)):
        assert nodes[np.argmin(score(runs, objective))] == expected


def test_seventy_five_days_do_not_beat_thirty_one_for_two_per_cent() -> None:
    runs = runs_at(np.array([408_000.0, 415_750.0, 470_000.0]), np.array([75.0, 31.0, 20.0]) * 24.0)
    assert int(np.argmin(score(runs, "cost"))) == 1


@given(left=st.lists(st.integers(-1, 5), max_size=20), right=st.lists(st.integers(-1, 5), max_size=20))
def test_pairs_are_all_equal_keys(left: list[int], right: list[int]) -> None:
    i, j = pair(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64))
    expected = [(a, b) for a in range(len(left)) for b in range(len(right)) if left[a] == right[b]]
    assert sorted(zip(i.tolist(), j.tolist(), strict=True)) == expected
    assert i.tolist() == sorted(i.tolist())
