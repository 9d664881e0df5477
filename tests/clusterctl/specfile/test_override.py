"""Overrides by key=value: the key finds its field, the value is YAML, mistakes name the candidates."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mistakes import RIGHT

from clusterctl.errors import SpecError
from clusterctl.specfile.override import override
from clusterctl.specfile.yaml_file import parse_yaml
from planners.spec.run_spec import RunSpec

DATA = parse_yaml(RIGHT, name="run.yaml").data


def changed(text: str, data: Any = DATA) -> Any:
    return override(data, text)[0]


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("steps=500", ("stages", 0, "steps"), 500),
        (" steps = 500", ("stages", 0, "steps"), 500),
        ("stages.rlcef.steps=7", ("stages", 0, "steps"), 7),
        ("stages[0].steps=7", ("stages", 0, "steps"), 7),
        ("stages.0.steps=7", ("stages", 0, "steps"), 7),
        ("rlcef.steps=7", ("stages", 0, "steps"), 7),
        ("gpus=[H200]", ("fleet", "gpus"), ["H200"]),
        ("gpus=64", ("limits", "gpus"), 64),
        ("usd=1e5", ("limits", "usd"), 100_000),
        ("objective=time", ("objective",), "time"),
        ("schedule=async", ("stages", 0, "schedule"), "async"),
        ("train.tp=8", ("stages", 0, "train", "tp"), 8),
        ("lora_rank=64", ("stages", 0, "train", "lora_rank"), 64),
        ("sandbox.cpus=2", ("stages", 0, "sandbox", "cpus"), 2),
        ("cpus=2", ("stages", 0, "sandbox", "cpus"), 2),
        ("capacity=[spot]", ("fleet", "capacity"), ["spot"]),
        ("sandbox.capacity=[spot]", ("fleet", "sandbox", "capacity"), ["spot"]),
        ("response_tokens={mean: 100, p95: 200}", ("stages", 0, "response_tokens"), {"mean": 100, "p95": 200}),
        ("model=Qwen/Qwen3-8B", ("stages", 0, "model"), "Qwen/Qwen3-8B"),
        ("name=other", ("name",), "other"),
        ("labels={team: a}", ("labels",), {"team": "a"}),
    ],
)
def test_a_key_finds_its_field(text: str, path: tuple[str | int, ...], value: object) -> None:
    after, applied = override(DATA, text)
    assert applied.path == path
    here = after
    for step in path:
        here = here[step]
    assert here == value
    RunSpec.model_validate(after)


def test_the_original_stays_as_it_was() -> None:
    before = copy.deepcopy(DATA)
    changed("steps=1")
    assert before == DATA


def test_null_unsets_and_a_number_grows_into_a_mapping() -> None:
    assert "limits" not in changed("limits=null")
    short = changed("response_tokens=2000")
    assert changed("response_tokens.p95=5000", short)["stages"][0]["response_tokens"] == {"mean": 2000, "p95": 5000}


def test_free_keys_can_be_changed_where_they_exist() -> None:
    data = changed("quota={'aws:H100': 64}")
    assert changed("aws:H100=128", data)["fleet"]["quota"] == {"aws:H100": 128}


def test_several_stages_are_told_apart_by_name() -> None:
    stage = DATA["stages"][0]
    two = {**DATA, "stages": [{**stage, "name": "first"}, {**stage, "name": "second"}]}
    assert changed("second.steps=9", two)["stages"][1]["steps"] == 9
    with pytest.raises(SpecError, match=r"several fields: stages\[0\]\.steps, stages\[1\]\.steps"):
        changed("steps=9", two)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("steps", "is not key=value"),
        ("=5", "is not key=value"),
        ("stpes=5", "no field 'stpes'; did you mean steps?"),
        ("precision=fp8", "several fields: stages[0].rollout.precision, stages[0].train.precision"),
        ("steps=[", "'[' is not YAML"),
        ("a.b.c=1", "no field 'a.b.c'"),
        ("...=1", "no field '...'"),
    ],
)
def test_a_mistake_says_what_would_work(text: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        changed(text)
    assert expected in caught.value.message


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_override_is_applied_or_refused(key: str, value: str) -> None:
    try:
        after = changed(f"{key}={value}")
    except SpecError:
        after = DATA
    assert isinstance(after, dict)
