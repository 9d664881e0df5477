"""Every number that a plan shows can be asked where it comes from, and its arithmetic holds."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from tiny_world import API_ROLLOUT, EVALUATE, RLCEF, ROLLOUT, SFT, SYNTHESIZE, changed, plan

from planners.plan.value import Plan, Term

JUDGE = {"model": "Qwen/Qwen2.5-7B-Instruct", "prompt_tokens": 1000, "response_tokens": 20}
RUNS: dict[str, tuple[dict[str, Any], ...]] = {
    "rlcef": (RLCEF,), "several": (SYNTHESIZE, SFT, EVALUATE), "agents": (ROLLOUT,), "API": (API_ROLLOUT,),
    "async": (changed(RLCEF, schedule="async", staleness_steps=2, algorithm="ppo"),),
    "judges": (
        changed(
            RLCEF, outcome_critic={"model": "Qwen/Qwen2.5-7B-Instruct", "replaced_share": 0.5},
            judges=[JUDGE | {"name": "style"}, JUDGE | {"name": "style"}, JUDGE], evaluate={"every_steps": 10},
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=list(RUNS))
def made(request: pytest.FixtureRequest) -> Plan:
    return plan(*RUNS[request.param])


def number(a_plan: Plan, identity: str) -> float:
    value = a_plan.terms[identity].value
    assert isinstance(value, float)
    return value


def test_every_number_has_a_term(made: Plan) -> None:
    shown = {"usd", "hours"}
    shown |= {row.id for row in (*made.lines, *made.pools)}
    for stage in made.stages:
        shown |= {f"{what}.{stage.name}" for what in ("hours", "unit", "units", "work", "band")}
        shown |= {phase.id for phase in stage.phases}
        shown |= {f"idle.{stage.name}"} if stage.idle else set()
        shown |= {f"waste.{stage.name}.{kind.replace(' ', '-')}" for kind in stage.waste_hours}
        assert len({phase.id for phase in stage.phases}) == len(stage.phases)
    shown |= {"usd." + re.sub(r"[^a-z0-9]+", "_", cost.name.lower()).strip("_") for cost in made.economics}
    assert shown <= set(made.terms)
    assert not [identity for identity in made.terms if identity.count("phase.") > 1]
    for cost in made.economics:
        assert any(term.value == cost.usd and term.formula == cost.formula for term in made.terms.values())


def test_inputs_exist_and_lead_to_sources(made: Plan) -> None:
    def leaves(identity: str, above: tuple[str, ...] = ()) -> set[str]:
        assert identity not in above, "no term explains itself"
        term = made.terms[identity]
        return (
            {identity}
            if not term.inputs
            else {leaf for below in term.inputs for leaf in leaves(below, (*above, identity))}
        )

    for identity, term in made.terms.items():
        assert term.id == identity
        assert term.label
        assert bool(term.inputs) <= bool(term.formula), "inputs come with a formula"
        assert set(term.inputs) <= set(made.terms)
    for root in ("usd", "hours"):
        for leaf in leaves(root):
            assert made.terms[leaf].source or made.terms[leaf].formula, leaf
    sources = {made.terms[leaf].source for leaf in leaves("hours")}
    assert any(source.startswith("the spec") for source in sources)


def test_shown_numbers_are_the_terms(made: Plan) -> None:
    assert number(made, "usd") == pytest.approx(made.usd.p50)
    assert number(made, "hours") == pytest.approx(made.hours.p50)
    for row in (*made.lines, *made.pools):
        assert made.terms[row.id].value == pytest.approx(row.usd)
    for stage in made.stages:
        assert number(made, f"hours.{stage.name}") == pytest.approx(stage.hours.p50)
        assert number(made, f"unit.{stage.name}") == pytest.approx(stage.seconds_per_unit.p50)
        for phase in stage.phases:
            assert number(made, phase.id) == pytest.approx(phase.seconds)


def test_products_and_sums_hold(made: Plan) -> None:
    def inputs(term: Term) -> list[float]:
        values = [made.terms[identity].value for identity in term.inputs]
        return [value for value in values if isinstance(value, float)]

    assert number(made, "hours") == pytest.approx(sum(inputs(made.terms["hours"])))
    assert number(made, "usd") == pytest.approx(sum(inputs(made.terms["usd"])))
    for line in made.lines:
        quantity, price = (number(made, identity) for identity in made.terms[line.id].inputs)
        assert number(made, line.id) == pytest.approx(quantity * price)
        assert (quantity, price) == (pytest.approx(line.quantity), pytest.approx(line.usd_per_unit))
    for pool in made.pools:
        assert number(made, pool.id) == pytest.approx(math.prod(inputs(made.terms[pool.id])))
    for stage in made.stages:
        units, seconds = number(made, f"units.{stage.name}"), number(made, f"unit.{stage.name}")
        assert number(made, f"work.{stage.name}") == pytest.approx(units * seconds / 3600)
        assert number(made, f"hours.{stage.name}") == pytest.approx(sum(inputs(made.terms[f"hours.{stage.name}"])))
        if stage.idle:
            hours, price, gpus = inputs(made.terms[f"idle.{stage.name}"])
            assert stage.idle.usd == pytest.approx(hours * price / gpus)
        wastes = sum(stage.waste_hours.values())
        assert number(made, f"hours.{stage.name}") == pytest.approx(number(made, f"work.{stage.name}") + wastes)


def test_phases_are_the_unit(made: Plan) -> None:
    for stage in made.stages:
        exposed = sum(phase.exposed_seconds for phase in stage.phases)
        split = stage.layout.get("schedule") in ("disaggregated", "async")
        most = 1.1 if split else 1.001
        assert exposed == pytest.approx(stage.seconds_per_unit.p50, rel=most - 1)
        assert sum(phase.share for phase in stage.phases) == pytest.approx(1.0, abs=most - 1)
        for phase in stage.phases:
            assert phase.start_seconds is not None
            assert 0 <= phase.start_seconds <= stage.seconds_per_unit.p50 * 1.001
            assert phase.exposed_seconds <= phase.seconds + 1e-9
            assert phase.bound_by or phase.seconds == 0


def test_a_chip_and_engine_are_explained_by_their_own_constants() -> None:
    ampere = plan(changed(RLCEF, rollout={"engine": "trtllm"}), fleet={"gpus": ["L40S"], "targets": ["aws"]})
    constants = {identity for identity in ampere.terms if identity.startswith("constant.")}
    assert {"constant.gemm_bf16_ada", "constant.attention_ada", "constant.decode_hbm_trtllm"} <= constants
    assert not any("hopper" in identity or "vllm" in identity for identity in constants)


def test_prices_say_their_source_and_date() -> None:
    made = plan()
    for line in made.lines:
        assert made.terms[f"{line.id}.price"].source.endswith("2026-08-01")
