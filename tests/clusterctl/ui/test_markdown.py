"""The comment for a pull request: verdict first, details folded, never too long, foreign text harmless."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from more_plans import infeasible_plan, two_stage_plan, unpriced_plan
from sample_plan import line, rlcef_plan

from clusterctl.ui.difference import difference
from clusterctl.ui.markdown import MAX_CHARACTERS, render_markdown
from clusterctl.ui.markdown_text import escape
from planners.plan.value import Alternative, Assumption, Plan

Golden = Callable[[str, str], None]
MARKER = r"<!-- clusterctl:plan v=1 id=[\w.-]+ plan=[0-9a-f]{16} valid-at=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ -->"


@pytest.mark.parametrize("make", [rlcef_plan, two_stage_plan, unpriced_plan])
def test_comments_look_as_agreed(golden: Golden, make: Callable[[], Plan]) -> None:
    golden(f"plan/comment_{make.__name__.removesuffix('_plan')}.md", render_markdown(make(), source="run.yaml"))


def test_a_comparison_names_the_baseline(golden: Golden) -> None:
    found = difference(
        rlcef_plan(), unpriced_plan(), base_label="main", other_label="branch", titles=("main", "branch")
    )
    text = render_markdown(unpriced_plan(), source="run.yaml", found=found)
    assert "### run.yaml: at least $9,900 in 31 h (Δ&#36; unknown)" in text
    golden("plan/comment_compared.md", text)


def test_the_marker_is_the_first_line() -> None:
    assert re.fullmatch(MARKER, render_markdown(rlcef_plan(), source="run.yaml").splitlines()[0])
    assert re.fullmatch(MARKER, render_markdown(rlcef_plan(name="a --> b\n#"), source="x").splitlines()[0])


def test_an_equal_plan_is_no_change() -> None:
    found = difference(rlcef_plan(), rlcef_plan(), base_label="a", other_label="b", titles=("a", "b"))
    assert "### run.yaml: $15,400 in 31 h, no change" in render_markdown(rlcef_plan(), source="run.yaml", found=found)


def test_infeasible_is_in_the_heading() -> None:
    assert "### run.yaml: not feasible as specified" in render_markdown(infeasible_plan(), source="run.yaml")


def test_what_has_no_price_has_its_own_row() -> None:
    text = render_markdown(unpriced_plan(), source="run.yaml")
    assert "| unpriced: egress between regions | unknown |" in text
    assert "**at least $9,900**" in text


def test_a_long_plan_loses_its_last_details_first() -> None:
    base = rlcef_plan()
    assumptions = tuple(Assumption(name=f"a{i} " * 40, value="x" * 150, source="s" * 180) for i in range(60))
    others = tuple(
        Alternative(**(base.alternatives[1].model_dump() | {"number": i, "fleet": "node " * 400}))
        for i in range(2, 200)
    )
    bill = tuple(line(f"line.{i}", "rlcef", f"line {i} " * 50, "hours", 1.0, 1.0, source="u" * 500) for i in range(300))
    plan = rlcef_plan(assumptions=assumptions, alternatives=others, lines=bill)
    text = render_markdown(plan, source="run.yaml")
    assert len(text) <= MAX_CHARACTERS
    assert "<summary>Phases</summary>" in text
    assert "<summary>Assumptions</summary>" not in text
    assert re.search(r"_Left out for length: .*assumptions\. `clusterctl plan` shows all\._", text)
    assert text.count("<details>") == text.count("</details>")
    assert "days old" in text.splitlines()[-1]


@given(st.text(max_size=400))
def test_foreign_text_makes_no_mark_up(text: str) -> None:
    escaped = escape(text)
    assert not re.search(r"[<>|`*@\[\]~\n\r]", escaped)


def test_mentions_and_html_do_nothing() -> None:
    plan = rlcef_plan(fleet="@team <script>alert(1)</script> | x", warnings=("see @all\n# big",))
    text = render_markdown(plan, source="run.yaml")
    assert "<script" not in text
    assert "@team" not in text
    assert "@all" not in text
    assert "\n# big" not in text
