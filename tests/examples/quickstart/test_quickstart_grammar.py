"""The grammar: what it yields can be judged, and right answers are among it."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_here import judge_here

from clusterctl.jobs.judge import Ending
from examples.quickstart.grammar import PLACES, PRODUCTIONS, RULES, Derivation, in_scope
from examples.quickstart.problems import PROBLEMS, Problem

THIRD_HIDDEN = {
    "sum": -18, "product": -192, "count-positive": 0, "largest": -4, "double-each": [-8, -16, -12],
    "running-sum": [-4, -12, -18], "count-vowels": 4, "reverse": "eueuq", "factorial": 720, "sum-to": 21, "fizz": "fizz",
    "larger": 8, "difference": 5, "clamp": 15,
}  # fmt: skip
"""By hand: of [-4, -8, -6], "queue", 6, (8, 3) and (30, 10, 15)."""


@st.composite
def programs(draw: st.DrawFn) -> tuple[Problem, Derivation]:
    problem = draw(st.sampled_from(PROBLEMS))
    derivation = Derivation(problem.arguments)
    scope = in_scope(problem.arguments)
    while derivation.hole is not None:
        rule = PLACES[derivation.hole[0]]
        derivation.choose(draw(st.sampled_from([i for i, p in enumerate(PRODUCTIONS) if p.rule == rule and scope[i]])))
    return problem, derivation


def test_the_answers_are_right() -> None:
    assert {problem.name: problem.hidden[2][1] for problem in PROBLEMS} == THIRD_HIDDEN


@given(programs())
@settings(max_examples=60, deadline=None)
def test_every_derivation_is_a_program_that_can_be_judged(drawn: tuple[Problem, Derivation]) -> None:
    problem, derivation = drawn
    assert len(derivation.choices) <= 20
    assert re.match(r"def solve\([a-z, ]+\):\n    ", derivation.source)
    assert "{" not in derivation.source
    verdict = judge_here(problem, derivation.source)
    try:
        ast.parse(derivation.source)
    except SyntaxError:
        assert verdict.visible.status is Ending.NOT_COMPILED
    else:
        assert verdict.visible.status is not Ending.NOT_COMPILED
    assert 0.0 <= verdict.visible.passed_share <= 1.0
    assert verdict.passes_visible or verdict.hidden is None


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_a_right_answer_is_in_the_grammar_and_passes_everything(problem: Problem) -> None:
    head, _, body = problem.answer.partition("\n")
    assert head == f"def solve({problem.arguments}):"
    assert re.fullmatch(_pattern("BODY", problem.arguments), body)
    verdict = judge_here(problem, problem.answer)
    assert (verdict.passes_visible, verdict.passes_hidden) == (True, True)


def _pattern(rule: str, arguments: str) -> str:
    """The whole grammar as one regular expression: no rule is recursive."""
    scope = in_scope(arguments)
    options = []
    for number, production in enumerate(PRODUCTIONS):
        if production.rule == rule and scope[number]:
            parts = [re.escape(production.texts[0])]
            for text, hole in zip(production.texts[1:], production.holes, strict=True):
                parts += [_pattern(PLACES[hole], arguments), re.escape(text)]
            options.append("".join(parts))
    return f"(?:{'|'.join(options)})"


@pytest.mark.parametrize("arguments", sorted({problem.arguments for problem in PROBLEMS}))
def test_every_rule_that_can_be_reached_has_a_production_in_scope(arguments: str) -> None:
    scope = in_scope(arguments)
    reached, todo = set(), ["BODY"]
    while todo:
        rule = todo.pop()
        usable = [p for i, p in enumerate(PRODUCTIONS) if p.rule == rule and scope[i]]
        assert usable, rule
        fresh = {PLACES[hole] for p in usable for hole in p.holes} - reached
        reached |= fresh
        todo += fresh


def test_a_production_of_another_rule_is_refused() -> None:
    derivation = Derivation("xs")
    colon = next(i for i, p in enumerate(PRODUCTIONS) if p.rule == "COLON")
    with pytest.raises(ValueError, match="does not fill"):
        derivation.choose(colon)


def test_every_hole_has_its_rule() -> None:
    assert {hole for texts in RULES.values() for text in texts for hole in re.findall(r"\{(\w+)\}", text)} < set(RULES)
