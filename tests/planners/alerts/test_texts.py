"""Diversity of texts."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.alerts.measures import Sample, distinct_ngram_share, near_duplicate_share

WORDS = [f"w{number}" for number in range(500)]


def text(seed: int, length: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


def test_copies_are_near_duplicates_and_others_are_not() -> None:
    different = [Sample(1, text(seed)) for seed in range(12)]
    assert near_duplicate_share(different) == 0.0
    assert near_duplicate_share([*different, different[0]]) == pytest.approx(2 / 13)
    assert near_duplicate_share([Sample(1, "x"), Sample(1, "x")]) == 1.0


@pytest.mark.parametrize(("edits", "alike"), [(1, True), (12, False)])
def test_one_word_changed_is_near_and_many_are_not(edits: int, alike: bool) -> None:
    words = text(1).split()
    for place in range(0, 60, 60 // edits):
        words[place] = f"other{place}"
    share = near_duplicate_share([Sample(1, text(1)), Sample(1, " ".join(words))])
    assert share == (1.0 if alike else 0.0)


def test_texts_for_one_problem_may_be_alike() -> None:
    assert near_duplicate_share([Sample(1, "return a", "max"), Sample(2, "return a", "max")]) == 0.0
    assert near_duplicate_share([Sample(1, "return a", "max"), Sample(2, "return a", "min")]) == 1.0


@given(st.lists(st.text(max_size=80), max_size=12))
def test_any_text_has_shares_between_0_and_1(some: list[str]) -> None:
    assert 0.0 <= near_duplicate_share([Sample(1, each) for each in some]) <= 1.0
    assert 0.0 < distinct_ngram_share(some) <= 1.0


def test_distinct_ngrams() -> None:
    assert distinct_ngram_share([text(seed) for seed in range(5)]) == pytest.approx(1.0, abs=0.01)
    assert distinct_ngram_share(["a b c d"] * 4) == pytest.approx(0.25)
    assert distinct_ngram_share([]) == 1.0
