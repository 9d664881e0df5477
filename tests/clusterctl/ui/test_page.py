"""The page: what it says, that it fits, and that colour and foreign text can't break it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from more_plans import api_plan, infeasible_plan, two_stage_plan, uncalibrated_plan, unpriced_plan
from sample_plan import rlcef_plan

from clusterctl.ui.plan_page import render_page
from clusterctl.ui.spans import width
from clusterctl.ui.streams import ENCODING_ERRORS
from clusterctl.ui.terminal import Terminal
from planners.plan.value import Plan

Golden = Callable[[str, str], None]
PLANS: dict[str, Callable[[], Plan]] = {
    "rlcef": rlcef_plan,
    "two_stages": two_stage_plan,
    "unpriced": unpriced_plan,
    "api": api_plan,
    "uncalibrated": uncalibrated_plan,
    "infeasible": infeasible_plan,
}


def page(plan: Plan, columns: int = 100, *, colour: bool = False, verbose: bool = False) -> str:
    screen = Terminal(columns=columns, colour=colour, interactive=False)
    return render_page(plan, screen, source="run.yaml", verbose=verbose)


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_the_example_looks_as_agreed(golden: Golden, columns: int) -> None:
    golden(f"plan/rlcef_{columns}.txt", page(rlcef_plan(), columns))


@pytest.mark.parametrize("name", [name for name in PLANS if name != "rlcef"])
def test_other_plans_look_as_agreed(golden: Golden, name: str) -> None:
    golden(f"plan/{name}_100.txt", page(PLANS[name]()))


@pytest.mark.parametrize("name", ["rlcef", "two_stages"])
def test_verbose_pages_look_as_agreed(golden: Golden, name: str) -> None:
    golden(f"plan/{name}_verbose_140.txt", page(PLANS[name](), 140, verbose=True))


@given(name=st.sampled_from(sorted(PLANS)), columns=st.integers(80, 200), verbose=st.booleans())
def test_no_line_is_wider_than_the_terminal(name: str, columns: int, verbose: bool) -> None:
    lines = page(PLANS[name](), columns, verbose=verbose).splitlines()
    assert max(width(line) for line in lines) <= columns
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("name", sorted(PLANS))
def test_colour_only_adds_escape_codes(name: str) -> None:
    coloured = page(PLANS[name](), colour=True)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == page(PLANS[name]())


def test_without_colour_there_is_no_escape_code() -> None:
    assert "\x1b" not in page(rlcef_plan())


@pytest.mark.parametrize("name", sorted(PLANS))
def test_ascii_pages_keep_their_columns(name: str) -> None:
    text = page(PLANS[name]())
    plain = text.encode("ascii", ENCODING_ERRORS).decode()
    assert plain.isascii()
    assert [len(line) for line in plain.splitlines()] == [len(line) for line in text.splitlines()]


def test_what_has_no_price_is_unknown_and_never_zero() -> None:
    text = page(unpriced_plan())
    assert "at least $9,900" in text
    assert "total of priced lines" in text
    assert re.search(r"sandbox .*c4-highcpu-96 .*unknown", text)
    assert "unpriced   c4-highcpu-96" in text
    assert "$0 " not in text
    assert "$0.00" not in text


def test_the_idle_line_names_the_dollars_and_the_cure() -> None:
    assert "$2,840 (412 GPU-h, 21%); 4 more c7i.24xlarge (+$531) remove it" in page(rlcef_plan(), 140)


def test_infeasible_comes_first() -> None:
    lines = page(infeasible_plan()).splitlines()
    assert lines[2] == "Not feasible as specified; the nearest feasible plan follows."
    assert lines[3].startswith("  warning    no fleet keeps limits.hours = 12")


def test_a_limit_that_the_band_may_break_says_so() -> None:
    spec = rlcef_plan().spec | {"limits": {"usd": 20_000, "hours": 72}}
    assert "$20,000: P90 is 1.5% over · 72 h: P90 uses 56%" in page(rlcef_plan(spec=spec))


@given(st.text(max_size=60))
def test_foreign_text_cannot_move_the_cursor(name: str) -> None:
    text = page(rlcef_plan(warnings=(name, f"\x1b[31m{name}\r\n\t"), fleet=f"aws {name}"))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_wide_letters_keep_the_columns_straight() -> None:
    plan = two_stage_plan()
    stage = plan.stages[0].model_copy(update={"title": "合成データ" * 12})
    lines = page(plan.model_copy(update={"stages": (stage, plan.stages[1])}), 80).splitlines()
    assert max(width(line) for line in lines) <= 80


def test_equal_age_is_said_in_the_first_line() -> None:
    plan = rlcef_plan()
    own = plan.prices.model_copy(update={"newest": None, "oldest": None, "age_days": None})
    unknown = own.model_copy(update={"undated": ("boot disks",)})
    assert "prices of 2026-11-01, 22 days old" in page(plan).splitlines()[0]
    assert "prices of unknown age" in page(plan.model_copy(update={"prices": unknown}))
    assert "your prices" in page(plan.model_copy(update={"prices": own})).splitlines()[0]
    partly = plan.prices.model_copy(update={"undated": ("boot disks",)})
    assert "22 days old; 1 of unknown age" in page(plan.model_copy(update={"prices": partly}), 140)
