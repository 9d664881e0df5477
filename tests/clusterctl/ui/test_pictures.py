"""Pictures: same plan, same bytes; numbers that don't cover each other; idle gaps where a pool has nothing to do."""

from __future__ import annotations

import itertools
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from more_plans import api_plan, two_stage_plan, unpriced_plan
from sample_plan import rlcef_plan

from clusterctl.errors import ClusterctlError
from clusterctl.ui.frontier import draw_frontier
from clusterctl.ui.pictures import write_pictures
from clusterctl.ui.timeline import Bar, gaps, lanes_and_bars
from planners.plan.value import Plan


@pytest.mark.parametrize("make", [rlcef_plan, two_stage_plan, api_plan, unpriced_plan])
def test_the_same_plan_gives_the_same_bytes(make: Callable[[], Plan], tmp_path: Path) -> None:
    first = write_pictures(make(), tmp_path / "a", source="run.yaml")
    second = write_pictures(make(), tmp_path / "b", source="run.yaml")
    assert [path.name for path in first] == ["frontier.svg", *(f"step-{stage.name}.svg" for stage in make().stages)]
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert ET.parse(one).getroot().tag.endswith("svg")


def test_the_pictures_name_what_they_show(tmp_path: Path) -> None:
    frontier, step = write_pictures(rlcef_plan(), tmp_path, source="run.yaml")
    text = frontier.read_text(encoding="utf-8")
    for wanted in (
        "run.yaml: $15,400 in 31 h",
        "this plan: $15,400 in 31 h",
        "cheapest: $10,900",
        "hours from start to end",
    ):
        assert wanted in text
    assert "$2,840 of the run" in step.read_text(encoding="utf-8")
    assert "<dc:date>" not in text


def test_without_matplotlib_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ClusterctlError) as caught:
        write_pictures(rlcef_plan(), tmp_path / "pictures", source="run.yaml")
    assert caught.value.hint == "pip install 'clusterctl[plot]'"
    assert not (tmp_path / "pictures").exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterctlError, match="cannot be made"):
        write_pictures(rlcef_plan(), tmp_path / "file", source="run.yaml")


def test_the_gpus_idle_while_the_sandboxes_judge() -> None:
    plan = rlcef_plan()
    lanes, bars = lanes_and_bars(plan, plan.stages[0])
    assert [pool.role for pool in lanes] == ["trainer+rollout", "sandbox"]
    assert gaps(bars, 0, 262.0) == [(139.0, 58.0)]
    assert [(bar.name, bar.start, bar.seconds) for bar in bars if bar.lane == 1] == [
        ("beside generation", 0.0, 139.0),
        ("sandbox", 139.0, 58.0),
    ], "samples that end early are judged while the others are generated"
    assert gaps(bars, 1, 262.0) == [(197.0, 65.0)]


BARS = st.lists(st.tuples(st.floats(0, 90), st.floats(0.1, 30)), max_size=8)


@given(BARS)
def test_gaps_and_bars_fill_the_lane(spans: list[tuple[float, float]]) -> None:
    bars = [Bar(name="x", lane=0, start=start, seconds=seconds, colour="") for start, seconds in spans]
    until = max([100.0, *(start + seconds for start, seconds in spans)])
    found = gaps(bars, 0, until)
    for start, seconds in found:
        assert not any(bar.start < start + seconds - 1e-9 and start + 1e-9 < bar.start + bar.seconds for bar in bars)
    covered = sum(seconds for _, seconds in found)
    assert covered <= until + 1e-9
    assert covered >= until - sum(seconds for _, seconds in spans) - until * 1e-3 * (len(spans) + 1)


def test_limits_are_drawn_where_they_fall_into_the_picture() -> None:
    axes = draw_frontier(rlcef_plan(), "run.yaml").axes[0]
    assert any("limits." in text.get_text() for text in axes.texts)


@pytest.mark.parametrize("make", [rlcef_plan, two_stage_plan])
def test_numbers_of_points_never_cover_each_other(make: Callable[[], Plan]) -> None:
    texts = draw_frontier(make(), "run.yaml").axes[0].texts
    texts = [text for text in texts if "limits." not in text.get_text()]
    assert sorted(text.get_text() for text in texts) == sorted(str(each.number) for each in make().alternatives)
    for one, other in itertools.combinations(texts, 2):
        assert not one.get_window_extent().overlaps(other.get_window_extent())
