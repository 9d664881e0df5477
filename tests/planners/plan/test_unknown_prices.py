"""Unknown stays unknown: through sums, ratios, comparisons, objectives and limits."""

from __future__ import annotations

import dataclasses
from datetime import date
from typing import Any

import polars as pl
import pytest
from tiny_world import API_ROLLOUT, NOW, RLCEF, changed, extras, plan, spec, token_prices, whole_plan, world

from planners.plan.build import build_plan
from planners.plan.value import Plan

DGX = {"name": "dgx", "target": "slurm:x", "gpu": "H100", "gpus_per_node": 8, "nodes": 4, "vcpus": 192,
       "memory_gib": 2000, "network_gbps": 3200}  # fmt: skip
CPU = {"name": "cpu", "target": "slurm:x", "nodes": 8, "vcpus": 96, "memory_gib": 384}
LIMITS = {"usd": 10.0, "usd_per_hour": 5.0}
WORTH = {"outcome": "solved task", "usd_per_outcome": 3.0, "tasks_per_feature": 8}


def own(*stages: dict[str, Any], dgx: float | None = None, cpu: float | None = None, **fields: Any) -> Plan:
    machines = [changed(DGX, usd_per_hour=dgx), changed(CPU, usd_per_hour=cpu)]
    targets = fields.pop("targets", ["slurm:x"])
    return whole_plan(*stages, fleet={"targets": targets, "machines": machines, "max_gpus": 64}, **fields)


@pytest.mark.parametrize("objective", ["cost", "time", "balanced"])
def test_a_run_of_unpriced_machines_costs_nobody_knows_what(objective: str) -> None:
    made = own(objective=objective, limits=LIMITS, economics=WORTH)
    assert made.at_least
    assert made.usd_per_hour is None
    assert made.known_usd_per_hour == 0.0
    assert (made.stages[0].usd, made.stages[0].at_least) == (None, True)
    assert all(other.at_least for other in made.alternatives)
    assert not any("cheapest" in other.label for other in made.alternatives), "nobody knows which is"
    assert made.terms["usd"].value is None
    assert {(row.usd_low, row.usd_high) for row in made.sensitivity} == {(None, None)}
    costs = {row.name: row.usd for row in made.economics}
    assert costs == {"rlcef: per 1,000 rewarded samples": None, "break-even: unknown × solved task": 3.0}
    said = " ".join(made.warnings)
    assert "nobody knows whether the run keeps limits.usd:" in said
    assert "nobody knows whether the run keeps limits.usd_per_hour: dgx and 1 more have no known price" in said
    assert "may exceed limits.usd" not in said


def test_inputs_of_an_unpriced_run_are_ordered_by_their_hours() -> None:
    swings = [abs(row.hours_high - row.hours_low) for row in own().sensitivity]
    assert swings == sorted(swings, reverse=True)
    assert swings[0] > 0


def test_what_is_known_is_a_lower_bound() -> None:
    made = own(cpu=2.0, limits=LIMITS, economics=WORTH)
    assert made.usd_per_hour is None
    nodes = next(pool.nodes for pool in made.pools if pool.role == "sandbox")
    assert made.known_usd_per_hour == pytest.approx(2.0 * nodes)
    (samples, _) = made.economics
    assert samples.at_least
    assert samples.usd == pytest.approx(made.usd.p50 / 51.2)
    assert samples.formula.startswith("at least $")
    assert made.terms["usd"].value == pytest.approx(made.usd.p50)
    assert "at least" in made.terms["usd"].label


@pytest.mark.parametrize("objective", ["cost", "balanced"])
def test_unpriced_machines_rank_behind_those_whose_price_is_known(objective: str) -> None:
    made = own(targets=["slurm:x", "aws"], objective=objective)
    assert not made.at_least
    assert {pool.cloud for pool in made.pools} == {"aws"}
    priced = [other.usd.p50 for other in made.alternatives if not other.at_least]
    assert next(other for other in made.alternatives if "cheapest" in other.label or other.number == 1)
    assert made.alternatives[0].usd.p50 == min(priced) or objective == "balanced"
    cheap = own(targets=["slurm:x", "aws"], objective=objective, dgx=1.0, cpu=0.1)
    assert {pool.cloud for pool in cheap.pools} == {"slurm:x"}, "with a price they can win"


def test_unpriced_sandboxes_are_taken_only_where_no_other_are() -> None:
    machines = [DGX | {"usd_per_hour": 5.0}, CPU | {"name": "free"}, CPU | {"name": "priced", "usd_per_hour": 9.0}]
    made = plan(fleet={"targets": ["slurm:x"], "machines": machines})
    assert {pool.instance_type for pool in made.pools} == {"dgx", "priced"}
    assert not made.at_least


def test_a_limit_is_broken_by_what_is_known_and_kept_by_nothing_unknown() -> None:
    kept = own(cpu=2.0, limits={"usd_per_hour": 5.0})
    assert kept.known_usd_per_hour <= 5.0
    with pytest.raises(ValueError, match="no fleet"):
        own(cpu=6.0, limits={"usd_per_hour": 5.0})


def test_stages_on_known_and_unknown_prices_are_at_least_their_sum() -> None:
    model = {"name": "nobody-prices-this"}
    made = plan(RLCEF, changed(API_ROLLOUT, api=model), economics=WORTH)
    assert made.stages[0].usd is not None
    assert not made.stages[0].at_least
    assert made.stages[1].at_least
    assert made.usd_per_hour is not None, "all machines have a price"
    by_name = {row.name: row for row in made.economics}
    assert not by_name["rlcef: per 1,000 rewarded samples"].at_least
    assert by_name["per feature"].at_least
    assert "break-even: unknown × solved task" in by_name


# ---- the age of prices


def aged(old: dict[str, date | None]) -> Plan:
    """A plan of an RLCEF stage and tokens; `old`: the days of some prices by what they are of."""
    frame = extras()
    for what, day in old.items():
        if what not in ("machines", "tokens"):
            frame = frame.with_columns(
                as_of=pl.when(pl.col("item").str.contains(what)).then(pl.lit(day, pl.Date)).otherwise(pl.col("as_of"))
            )
    tokens, gpus = token_prices(), world().gpu_offers
    if "tokens" in old:
        tokens = tokens.with_columns(as_of=pl.lit(old["tokens"], pl.Date))
    if "machines" in old:
        gpus = gpus.with_columns(as_of=pl.lit(old["machines"], pl.Date))
    inputs = dataclasses.replace(world(), extras=frame, token_prices=tokens, gpu_offers=gpus)
    return build_plan(spec(RLCEF, API_ROLLOUT, fleet={"targets": ["aws"]}), inputs, now=NOW)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("machines", "GPU nodes"),
        ("block_gp3", "boot disks"),
        ("object_storage", "checkpoints"),
        ("control_plane", "Kubernetes control plane"),
        ("nat_gateway_hour", "NAT gateway"),
        ("nat_gateway_data", "image pulls"),
        ("internet_egress", "checkpoint egress"),
        ("tokens", "acme-coder-1"),
    ],
)
def test_the_oldest_price_of_any_line_is_the_age_of_the_plan(what: str, line: str) -> None:
    made = aged({what: date(2024, 8, 20)})
    assert (made.prices.oldest, made.prices.newest) == (date(2024, 8, 20), date(2026, 8, 1))
    assert made.prices.age_days == 730
    assert line in (made.prices.oldest_line or "")
    said = made.prices.too_old(140, today=NOW.date()) or ""
    assert line in said
    assert "730 days old" in said
    assert made.prices.too_old(730, today=NOW.date()) is None
    assert any("730 days old" in warning and line in warning for warning in made.warnings)


def test_a_price_that_nobody_dated_is_of_unknown_age_and_a_stated_one_is_not() -> None:
    undated = aged({"block_gp3": None})
    assert all("boot disks" in name for name in undated.prices.undated)
    assert "of unknown age" in (undated.prices.too_old(140, today=NOW.date()) or "")
    stated = own(dgx=5.0, cpu=1.0).prices
    assert (stated.oldest, stated.undated) == (None, ())
    assert stated.too_old(0, today=NOW.date()) is None
