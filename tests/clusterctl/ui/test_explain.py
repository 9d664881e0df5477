"""`--explain`: every number of a plan leads to its sources; an unknown id leads to the nearest."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from more_plans import api_plan, two_stage_plan, unpriced_plan
from sample_plan import rlcef_plan

from clusterctl.errors import SpecError
from clusterctl.ui.explain import PAGE_LINES, draw_tree, render_explanation, value_text
from clusterctl.ui.spans import paint, width
from clusterctl.ui.terminal import Terminal
from planners.plan.value import Plan, Term

Golden = Callable[[str, str], None]
PLANS = (rlcef_plan, two_stage_plan, unpriced_plan, api_plan)


def explain(plan: Plan, wanted: str | None, columns: int = 100, *, verbose: bool = False) -> str:
    screen = Terminal(columns=columns, colour=False, interactive=False)
    return render_explanation(plan, screen, source="run.yaml", wanted=wanted, verbose=verbose)


def number(identity: str, *inputs: str, value: float | str | None = 1.0, unit: str = "s", formula: str = "sum") -> Term:
    return Term(id=identity, label=identity, value=value, unit=unit, formula=formula, source="here", inputs=inputs)


@pytest.mark.parametrize("wanted", ["usd", "phase.rlcef.generate", None])
def test_explanations_look_as_agreed(golden: Golden, wanted: str | None) -> None:
    golden(f"plan/explain_{wanted or 'overview'}.txt", explain(rlcef_plan(), wanted))


@pytest.mark.parametrize("make", PLANS)
def test_every_term_of_the_plan_can_be_explained_and_no_other_is_listed(make: Callable[[], Plan]) -> None:
    plan = make()
    listed = explain(plan, None, verbose=True).partition("numbers that can be explained")[2].split()
    assert [word for word in listed if "." in word and word in plan.terms] == [i for i in plan.terms if "." in i]
    assert not [word for word in listed if word.startswith(("line.", "pool.", "phase.")) and word not in plan.terms]
    for identity in plan.terms:
        assert identity in explain(plan, identity).splitlines()[0]


@given(make=st.sampled_from(PLANS), columns=st.integers(80, 200), data=st.data())
def test_no_line_is_wider_than_the_terminal(make: Callable[[], Plan], columns: int, data: st.DataObject) -> None:
    plan = make()
    wanted = data.draw(st.sampled_from([None, *plan.terms]))
    assert max(width(line) for line in explain(plan, wanted, columns, verbose=True).splitlines()) <= columns


def test_an_unknown_id_names_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        explain(rlcef_plan(), "phase.rlcef.generat")
    assert caught.value.message == "no number of this plan has the id `phase.rlcef.generat`"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("nearest: `phase.rlcef.generate`")


def test_what_has_no_price_says_so() -> None:
    price = number("line.2.price", value=None, unit="USD per node-hour")
    line = number("line.2", "line.2.price", value=None, unit="USD", formula="quantity × price")
    text = explain(unpriced_plan().model_copy(update={"terms": {term.id: term for term in (line, price)}}), "line.2")
    assert "line.2  unknown  line.2" in text
    assert "line.2.price  unknown" in text


def test_a_circle_of_terms_ends() -> None:
    terms = {"a": number("a", "b"), "b": number("b", "a", "gone")}
    text = paint(draw_tree(terms, "a", 100), colour=False)
    assert text.count("as above") == 1
    assert "gone  is not explained further" in text


def test_a_long_tree_shows_its_trunk_and_says_how_to_see_all() -> None:
    terms = {"root": number("root", *(f"b{i}" for i in range(10)))}
    for i in range(10):
        terms[f"b{i}"] = number(f"b{i}", *(f"b{i}.{j}" for j in range(6)), value=float(i))
        terms |= {f"b{i}.{j}": number(f"b{i}.{j}") for j in range(6)}
    short, whole = draw_tree(terms, "root", 100), draw_tree(terms, "root", 100, whole=True)
    assert len(short) <= PAGE_LINES + 1
    assert len(whole) > 150
    text = paint(short, colour=False)
    assert "b9.5" in text, "the largest branch is the trunk"
    assert "b3  1 s" not in text
    assert f"all {len(whole):,} lines: --verbose" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (15_437.2, "USD", "$15,437.20"),
        (0.0266, "USD", "$0.0266"),
        (55.04, "USD/node-hour", "$55.04/node-hour"),
        (0.023, "USD per GiB-month", "$0.023/GiB-month"),
        (262.0, "s", "262 s"),
        ("vllm", "", "vllm"),
        (None, "USD", "unknown"),
    ],
)
def test_values_carry_their_unit(value: float | str | None, unit: str, text: str) -> None:
    assert value_text(number("x", value=value, unit=unit)) == text
