"""plan.json: what is written is read again; what is damaged, edited or foreign is refused with its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from more_plans import api_plan, infeasible_plan, two_stage_plan, uncalibrated_plan, unpriced_plan
from sample_plan import rlcef_plan

from clusterctl.errors import ClusterctlError, SpecError, StateError
from clusterctl.specfile.plan_file import AGAIN, looks_like_plan, parse_plan, plan_text, write_plan
from clusterctl.specfile.yaml_file import read_text
from planners.plan.identity import content_id
from planners.plan.value import Plan

PLANS = (rlcef_plan, two_stage_plan, unpriced_plan, api_plan, uncalibrated_plan, infeasible_plan)
TEXT = plan_text(rlcef_plan())


def changed(**fields: Any) -> str:
    return json.dumps(json.loads(TEXT) | fields, indent=2)


def refused(text: str) -> str:
    with pytest.raises(StateError) as caught:
        parse_plan(text, name="plan.json")
    assert caught.value.hint == AGAIN
    return caught.value.message


@pytest.mark.parametrize("make", PLANS)
def test_what_is_written_is_read_again(make: Callable[[], Plan], tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", make())
    text = read_text(tmp_path / "plan.json")
    assert parse_plan(text, name="plan.json") == make()
    assert looks_like_plan(text)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    with pytest.raises(ClusterctlError):
        write_plan(tmp_path / "missing" / "plan.json", rlcef_plan())
    assert list(tmp_path.iterdir()) == []


def test_the_id_names_the_content_and_not_the_moment() -> None:
    plan = rlcef_plan()
    assert plan.id == content_id(plan)
    assert content_id(plan.model_copy(update={"created_at": plan.created_at.replace(year=2030)})) == plan.id
    assert content_id(plan.model_copy(update={"name": "other"})) != plan.id


def test_an_edited_plan_is_refused() -> None:
    edited = f"plan.json: was edited: its content is not that of plan '{rlcef_plan().id}'"
    assert refused(changed(name="mine")) == edited


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ("clusterctl.plan/2", "has schema_name 'clusterctl.plan/2'"),
        ("clusterctl.plan/0", "has schema_name 'clusterctl.plan/0'"),
        (7, "has schema_name 7"),
    ],
)
def test_another_version_is_refused(schema: Any, message: str) -> None:
    assert refused(changed(schema_name=schema)) == f"plan.json: {message}; this clusterctl reads 'clusterctl.plan/1'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plan.json:1:1: is not JSON: Expecting value"),
        ("{\n  'a': 1}", "plan.json:2:3: is not JSON: Expecting property name enclosed in double quotes"),
        (TEXT[: len(TEXT) // 2], "is not JSON"),
        ("[1, 2]", "plan.json: is not a plan: it holds a list"),
        ("{}", "plan.json: has no schema_name; this clusterctl reads 'clusterctl.plan/1'"),
        ('{"a": 1, "a": 2}', "plan.json: is not JSON that a plan may hold: the key 'a' appears twice"),
        (TEXT.replace("31.0", "NaN", 1), "plan.json: is not JSON that a plan may hold: NaN is not a number"),
        (TEXT.replace("31.0", "9" * 5000, 1), "is not JSON that a plan may hold"),
        ("[" * 100_000, "plan.json: is not JSON that a plan may hold: it is nested too deeply"),
        (TEXT.replace("31.0", "1e999", 1), "plan.json:"),
    ],
)
def test_damaged_json_is_refused_with_its_place(text: str, message: str) -> None:
    assert message in refused(text)


def test_a_wrong_value_is_named_with_line_column_and_field() -> None:
    text = TEXT.replace('"nodes": 8', '"nodes": "many"', 1)
    at = 1 + text[: text.index('"many"')].count("\n")
    assert refused(text).startswith(f"plan.json:{at}:16: pools[0].nodes: ")
    assert refused(text).endswith(", not 'many'")


def test_a_field_too_many_is_named() -> None:
    assert "surprise: extra inputs are not permitted" in refused(changed(surprise=1))


def test_files_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "bytes.json").write_bytes(b'{"schema_name": "\xff\xfe"}')
    for name, message in (("none.json", "no such file"), (".", "is a folder"), ("bytes.json", "is not UTF-8")):
        with pytest.raises(SpecError, match=message):
            read_text(tmp_path / name)


def test_a_spec_in_json_is_no_plan() -> None:
    assert not looks_like_plan('{"name": "x", "stages": []}')
    assert not looks_like_plan("name: x")


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 40), st.sampled_from(["", "0", "null", '"', "{}", "é", "-1"]))
def test_no_damage_goes_unnoticed(start: int, length: int, instead: str) -> None:
    damaged = TEXT[:start] + instead + TEXT[start + length :]
    try:
        plan = parse_plan(damaged, name="plan.json")
    except StateError:
        return
    assert plan.model_copy(update={"created_at": rlcef_plan().created_at}) == rlcef_plan()
