"""Inputs that plans of other tools got wrong, with the right values: whole plans on the embedded facts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from clusterctl.plan_service import Planner, open_source
from planners.plan.value import Plan

CASES = Path(__file__).parents[1] / "data" / "plan_cases"


def planned(name: str, *changes: str) -> Plan:
    planner = Planner(now=datetime(2026, 11, 29, 12, tzinfo=UTC))
    return planner.plan(open_source(str(CASES / f"{name}.yaml")), changes)


def test_every_input_has_its_test() -> None:
    tests = "".join(file.read_text("utf-8") for file in CASES.parents[1].rglob("test_*.py"))
    inputs = [path.stem for path in [*CASES.glob("*.yaml"), *(CASES / "config").iterdir()]]
    assert len(inputs) == 12
    assert [name for name in inputs if f'"{name}' not in tests] == []


def test_cached_input_costs_what_reading_the_cache_costs() -> None:
    """500 SWE-bench issues, 50 turns: 58,900 tokens new and 1,538,600 read again in each, 15,000 written.

    Prices of claude-sonnet-4-5: input $3, cache reads $0.30 (0.1 x), cache writes $3.75 (1.25 x), output $15 per million
    (genai-prices and litellm, 2026-08-01, agree).  All input at $3 would be $2,509.
    """
    plan = planned("cached-input-price")
    usd = {line.name.rpartition(", ")[2]: line.usd for line in plan.lines if "claude" in line.name}
    assert usd == {
        "cached input tokens": pytest.approx(500 * 1_538_600 * 0.30e-6),
        "cache write tokens": pytest.approx(500 * (58_900 - 1_100) * 3.75e-6),
        "input tokens": pytest.approx(500 * 1_100 * 3e-6),
        "output tokens": pytest.approx(500 * 15_000 * 15e-6),
    }
    assert plan.usd.p50 == pytest.approx(436, rel=0.06)
    assert not plan.at_least


def test_the_band_of_api_work_is_as_wide_as_the_tokens_are_uncertain() -> None:
    assumed = planned("cached-input-price")
    assert assumed.usd.p90 / assumed.usd.p50 == pytest.approx(2.0, rel=0.02), "lengths and turns are the benchmark's"
    lengths = ("turns=50", "prompt_tokens=5000", "response_tokens=300", "observation_tokens=800")
    stated = planned("cached-input-price", *(f"stages.evaluate.{length}" for length in lengths))
    assert stated.usd.p90 / stated.usd.p50 == pytest.approx(1.25, rel=0.02)
    assert stated.usd.p50 / stated.usd.p10 == pytest.approx(1.25, rel=0.02)
    widest = stated.sensitivity[0]
    assert widest.usd_high == pytest.approx(stated.usd.p90, rel=0.02), "the page's own sensitivity says the same"


def test_a_cache_price_that_nobody_states_is_unknown() -> None:
    plan = planned("cached-input-price", "api.name=qwen-max")
    assert plan.at_least
    assert {line.name.rpartition(", ")[2] for line in plan.lines if line.usd is None} >= {"cached input tokens"}
    uncached = planned("cached-input-price", "api.name=qwen-max", "stages.evaluate.cached_share=0.0")
    assert not any("claude" not in line.name and "tokens" in line.name and line.usd is None for line in uncached.lines)


def test_a_misspelt_api_model_has_no_price_and_names_the_nearest() -> None:
    plan = planned("cached-input-price", "api.name=claude-sonet-4-5")
    assert plan.at_least
    assert any("not in the price book, which has" in row.why for row in plan.unpriced if "sonet" in row.name)


def test_batches_are_billed_at_batch_prices_and_take_a_day() -> None:
    changes = ("api.name=gemini-3.1-pro-preview", "stages.evaluate.benchmark=humaneval")
    plain, batched = planned("cached-input-price", *changes), planned("cached-input-price", *changes, "api.batch=true")

    def tokens(plan: Plan) -> float:
        return sum(line.usd or 0.0 for line in plan.lines if "gemini" in line.name)

    assert tokens(batched) == pytest.approx(tokens(plain) / 2), "the book's batch prices of this model are half"
    assert batched.hours.p50 > 24 > plain.hours.p50
