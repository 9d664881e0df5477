"""A case that cannot be read is answered with the reason; nulls and unknown keys are fine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.validation.case import Case, Unreadable, read_case
from planners.validation.generic import generic_shape, sizes_of

GOOD: dict[str, Any] = {
    "id": "a",
    "kind": "sft",
    "model": "Qwen/Qwen2.5-7B",
    "cluster": {"gpu": "H100", "gpus": 8},
    "train": None,
    "rollout": None,
    "sandbox": None,
    "published": {"metric": "tokens_per_second_per_gpu", "value": 9000, "unit": "tokens/s/gpu", "phases": None},
    "gaps": ["cluster.gpu"],
    "a key of a later version": {"x": 1},
}


def test_nulls_and_unknown_keys_are_fine() -> None:
    case = read_case(GOOD, 0)
    assert isinstance(case, Case)
    assert case.cluster.gpus == 8
    assert case.train.tp is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cluster": {"gpus": "many"}}, "cluster.gpus"),
        ({"cluster": {"gpus": True}}, "cluster.gpus: a number is needed"),
        ({"cluster": {"gpus": float("nan")}}, "cluster.gpus"),
        ({"cluster": {"gpus": -8}}, "cluster.gpus"),
        ({"cluster": {"gpus": 10**400}}, "cluster.gpus"),
        ({"cluster": [1]}, "cluster"),
        ({"published": {"value": float("inf")}}, "published.value"),
        ({"published": "fast"}, "published"),
        ({"kind": "training"}, "kind 'training' is not one of"),
        ({"kind": None}, "kind"),
        ({"year": 20250}, "year"),
        ({"model": 7}, "model"),
        ({"train": {"tp": 0}}, "train.tp"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], reason: str) -> None:
    answer = read_case(GOOD | change, 0)
    assert isinstance(answer, Unreadable)
    assert reason in answer.reason
    assert answer.id == "a"


@pytest.mark.parametrize("raw", [None, 3, "x", [], [{}]])
def test_an_entry_that_is_no_mapping_is_answered(raw: object) -> None:
    answer = read_case(raw, 4)
    assert isinstance(answer, Unreadable)
    assert answer.id == "case 5"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["gpus", "gpu", "tp", "value", "metric", "phases", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), ANYTHING))
def test_anything_is_answered(raw: dict[str, Any]) -> None:
    assert isinstance(read_case(GOOD | raw, 0), Case | Unreadable)


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("Foo-13B", 13e9, 13e9),
        ("acme/Bar-30B-A3B", 30e9, 3e9),
        ("acme/tiny-350m", 350e6, 350e6),
        ("mix-8x7B", 47e9, 12.6e9),
        ("x1.5b-rl", None, None),
        ("GPT-4", None, None),
    ],
)
def test_sizes_in_names(name: str, total: float | None, active: float | None) -> None:
    sizes = sizes_of(name)
    if total is None or active is None:
        assert sizes is None
    else:
        assert sizes == (pytest.approx(total, rel=0.02), pytest.approx(active, rel=0.02))


def test_a_generic_shape_keeps_its_size() -> None:
    for name in ("Foo-13B", "Bar-30B-A3B", "Baz-1.5B", "Huge-1000B-A30B"):
        shape = generic_shape(name)
        assert shape is not None
        assert shape.params_total == sizes_of(name)[0]  # type: ignore[index]  # named above
        assert shape.params_matmul_active <= shape.params_active
    assert generic_shape("Zero-0B") is None
