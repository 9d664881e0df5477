"""One plan in the place of another: whether a run can go on with it, and what starts anew."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from tiny_world import RLCEF, changed, whole_plan

from planners.plan.old_prices import old_prices
from planners.plan.value import Plan
from planners.runs.plan_change import PlanChange

MACHINE = {"name": "dgx", "target": "slurm:x", "gpu": "H100", "gpus_per_node": 8, "vcpus": 192, "memory_gib": 2000,
           "network_gbps": 3200, "usd_per_hour": 50.0, "nodes": 4}  # fmt: skip


def planned(stage: dict[str, Any] | None = None, **fields: Any) -> Plan:
    machines = [MACHINE, {"name": "cpu", "target": "slurm:x", "nodes": 8, "vcpus": 96, "memory_gib": 384}]
    fleet = {"targets": ["slurm:x"], "machines": machines, "max_gpus": 64}
    return whole_plan(changed(RLCEF, **(stage or {})), fleet=fleet, **fields)


@pytest.fixture(scope="module")
def before() -> Plan:
    return planned()


def test_what_jobs_are_made_from_starts_them_anew_and_limits_do_not(before: Plan) -> None:
    def change(after: Plan) -> PlanChange:
        return PlanChange(before=before, after=after, stage="rlcef")

    assert not change(planned(limits={"usd": 9999.0, "hours": 99.0})).restarts
    assert not change(before).restarts
    fewer = change(planned({"steps": RLCEF["steps"] - 1}))
    assert fewer.restarts
    assert f"rlcef: {RLCEF['steps']} → {RLCEF['steps'] - 1} steps" in fewer.text
    assert fewer.refusal(steps=0, of=0) == ""
    assert "is done, and the edit ends at" in fewer.refusal(steps=RLCEF["steps"], of=RLCEF["steps"])
    assert "has another algorithm" in change(planned({"algorithm": "ppo"})).refusal(steps=0, of=0)


def test_a_checkpoint_of_another_layout_is_refused_once_there_is_one(before: Plan) -> None:
    (stage,) = before.stages
    pp = int(stage.layout.get("pp", 1)) * 2
    other = before.model_copy(
        update={"stages": (stage.model_copy(update={"layout": {**stage.layout, "pp": float(pp)}}),)}
    )
    change = PlanChange(before=before, after=other, stage="rlcef")
    assert change.refusal(steps=0, of=0) == ""
    why = change.refusal(steps=1, of=10)
    assert f"becomes {pp}" in why
    assert f"train: {{pp: {pp // 2}}} in the spec keeps it" in why


def test_the_offer_that_a_run_is_on_is_found_again_by_its_machines(before: Plan) -> None:
    change = PlanChange(before=before, after=before, stage="rlcef")
    for offer in before.alternatives:
        found = change.alternative(offer.number)
        chosen = offer.number == before.frontier_chosen
        assert found == (0 if chosen else offer.number)


@pytest.mark.parametrize(
    ("share", "usd", "asked"), [(0.04, 1000.0, False), (0.06, 1000.0, True), (0.5, 12.0, False), (1.0, 11.0, True)]
)
def test_old_prices_are_asked_about_by_their_share_of_the_dollars(
    before: Plan, share: float, usd: float, asked: bool
) -> None:
    line, today = before.lines[0], date(2026, 11, 30)
    lines = (
        line.model_copy(update={"name": "NAT gateway", "usd": usd * share, "as_of": date(2024, 7, 1)}),
        line.model_copy(update={"name": "GPU nodes", "usd": usd * (1.0 - share), "as_of": date(2026, 11, 1)}),
    )
    found = old_prices(before.model_copy(update={"lines": lines}), today=today)
    assert found is not None
    assert (found.must_be_allowed, found.age_days, found.lines) == (asked, 882, ("NAT gateway",))
    assert f"{share:.1%} of the dollars" in found.text
    assert old_prices(before.model_copy(update={"lines": lines[1:]}), today=today) is None
