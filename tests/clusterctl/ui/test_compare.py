"""Two plans side by side."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from more_plans import api_plan, infeasible_plan, two_stage_plan, uncalibrated_plan, unpriced_plan
from sample_plan import RLCEF_SPEC, rlcef_plan

from clusterctl.ui.compare import render_differences
from clusterctl.ui.difference import Difference, difference, file_title
from clusterctl.ui.spans import width
from clusterctl.ui.terminal import Terminal
from planners.plan.value import Plan

Golden = Callable[[str, str], None]
PLANS = (rlcef_plan, two_stage_plan, unpriced_plan, api_plan, uncalibrated_plan)


def between(base: Plan, other: Plan) -> Difference:
    return difference(base, other, base_label="old.yaml", other_label="new.yaml", titles=("old.yaml", "new.yaml"))


def drawn(found: Difference, columns: int = 100, *, verbose: bool = False) -> str:
    return render_differences([found], Terminal(columns=columns, colour=False, interactive=False), verbose=verbose)


@pytest.mark.parametrize("other", [uncalibrated_plan, unpriced_plan, two_stage_plan])
def test_comparisons_look_as_agreed(golden: Golden, other: Callable[[], Plan]) -> None:
    golden(f"plan/compare_{other.__name__.removesuffix('_plan')}.txt", drawn(between(rlcef_plan(), other())))


@given(st.sampled_from(PLANS))
def test_a_plan_does_not_differ_from_itself(make: Callable[[], Plan]) -> None:
    found = between(make(), make())
    assert not any(row.differs for row in found.rows)
    assert found.fields == ()


@given(st.sampled_from(PLANS), st.sampled_from(PLANS), st.integers(80, 200), st.booleans())
def test_it_fits_the_terminal(base: Callable[[], Plan], other: Callable[[], Plan], columns: int, verbose: bool) -> None:
    text = drawn(between(base(), other()), columns, verbose=verbose)
    assert max(width(line) for line in text.splitlines()) <= columns


@given(st.sampled_from(PLANS), st.sampled_from(PLANS))
def test_exchanging_the_plans_exchanges_the_numbers(one: Callable[[], Plan], two: Callable[[], Plan]) -> None:
    there, back = between(one(), two()), between(two(), one())
    numbers = {(row.group, row.name): (row.base, row.other, row.absent) for row in there.rows}
    assert numbers == {(row.group, row.name): (row.other, row.base, row.absent[::-1]) for row in back.rows}


def test_changed_fields_of_the_spec_are_named() -> None:
    stage = RLCEF_SPEC["stages"][0] | {"steps": 200, "epochs_per_step": 2}
    found = between(rlcef_plan(), rlcef_plan(spec=RLCEF_SPEC | {"stages": [stage], "fleet": {"gpus": ["H200"]}}))
    changes = {change.field: (change.base, change.other) for change in found.fields}
    assert changes == {
        "stages.rlcef.steps": ("400", "200"),
        "stages.rlcef.epochs_per_step": ("(not stated)", "2"),
        "fleet.targets": ("aws, gcp, azure", "(not stated)"),
        "fleet.gpus": ("H100, H200", "H200"),
    }


def test_what_has_no_price_is_unknown_and_what_is_gone_is_none() -> None:
    text = drawn(between(rlcef_plan(), unpriced_plan()), verbose=True)
    lines = {line.split("  ")[1]: line.split() for line in text.splitlines() if line.startswith("  ")}
    assert lines["c4-highcpu-96, on demand"][-2:] == ["none", "unknown"]
    assert lines["NAT gateway"][-2:] == ["$1.40", "none"]


def test_the_nearest_feasible_is_called_that() -> None:
    assert "not feasible as specified; compared with the nearest feasible plan" in drawn(
        between(rlcef_plan(), infeasible_plan())
    )


def test_several_changes_are_shown_alone_and_together() -> None:
    cheaper = uncalibrated_plan()
    found = [
        difference(rlcef_plan(), cheaper, base_label="run.yaml", other_label=label, titles=("as it is", "what if"))
        for label in ("what if steps=200", "what if gpus=[H200]", "what if steps=200, gpus=[H200]")
    ]
    lines = render_differences(found, Terminal(columns=100, colour=False, interactive=False)).splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        "run.yaml as it is",
        "what if steps=200 alone",
        "what if gpus=[H200] alone",
        "all together",
    ]
    assert lines[6].startswith("what if steps=200, gpus=[H200] against run.yaml: −$2,140, +5.0 h")


def test_the_json_document_is_complete() -> None:
    document = json.loads(between(rlcef_plan(), unpriced_plan()).as_json())
    assert document["schema_name"] == "clusterctl.difference/1"
    assert document["other"] == {"label": "new.yaml", "name": "rlcef-32b", "id": unpriced_plan().id}
    rows = {(row["group"], row["name"]): row for row in document["rows"]}
    assert rows["total", "dollars"]["base"] == rlcef_plan().usd.p50
    assert rows["bill", "c4-highcpu-96, on demand"] == {
        "group": "bill",
        "name": "c4-highcpu-96, on demand",
        "unit": "USD",
        "base": None,
        "other": None,
        "absent": [True, False],
    }


def test_long_file_names_keep_their_end() -> None:
    assert file_title("run.yaml") == "run.yaml"
    assert file_title("a/very/long/path/to/runs/rlcef.yaml") == "…/to/runs/rlcef.yaml"
