"""Dollars of a preview: known, free and unknown are three things."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clusterctl.fleet.preview import FleetDrift, FleetPreview, FleetStep, only_nodes
from clusterctl.fleet.prices import FleetPrices
from clusterctl.fleet.render import drift_text, preview_text
from clusterctl.ui.terminal import Terminal
from planners.plan.value import Plan

SPEC = """
name: rlcef
stages:
  - {kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {mean: 2000}}
fleet: {targets: [aws], gpus: [H100]}
"""
GROUP = "aws:eks/nodeGroup:NodeGroup"
WIDE = Terminal(columns=120, colour=False, interactive=False)


@pytest.fixture
def plan(tmp_path: Path, in_process: Callable[..., Any]) -> Plan:
    (tmp_path / "run.yaml").write_text(SPEC)
    done = in_process("plan", str(tmp_path / "run.yaml"), "--out", str(tmp_path / "plan.json"))
    assert done.returncode == 0, done.stderr
    return Plan.model_validate_json((tmp_path / "plan.json").read_bytes())


def step(op: str, usd: float | None, before: float | None = 0.0, name: str = "a") -> FleetStep:
    return FleetStep(op=op, urn=name, type=GROUP, name=name, usd_per_hour=usd, usd_per_hour_before=before)


def test_a_pool_costs_what_the_plan_says_of_its_machines(plan: Plan) -> None:
    gpus = next(pool for pool in plan.pools if pool.gpu)
    template = {
        "type": "aws:ec2/launchTemplate:LaunchTemplate",
        "name": "gpu",
        "inputs": {"instanceType": gpus.instance_type},
    }
    prices = FleetPrices(plan, [template])
    assert gpus.usd_per_node_hour is not None
    launched = {"launchTemplate": {"id": "04da6b54-80e4-46f7-96ec-b56ff0331ba9"}}
    three, _ = prices.of(GROUP, "gpu", {"scalingConfig": {"desiredSize": 3}, **launched})
    assert three == pytest.approx(3 * gpus.usd_per_node_hour, abs=0.05), "the machines, and their disks if priced there"
    assert prices.of(GROUP, "gpu", {"scalingConfig": {"desiredSize": 0}, **launched}) == (0.0, "")
    assert prices.of(GROUP, "gpu", {})[0] is None, "a number of nodes that is not known yet"
    assert prices.of(GROUP, "x", {"scalingConfig": {"desiredSize": 1}, "instanceTypes": ["z9.huge"]})[0] is None
    usd, why = prices.of(GROUP, "system", {"scalingConfig": {"desiredSize": 1}, "instanceTypes": ["m6i.large"]})
    assert (usd or 0) > 0, why


def test_control_plane_and_nat_are_lines_of_the_plan_and_the_rest_is_free_or_unknown(plan: Plan) -> None:
    prices = FleetPrices(plan, [])
    assert (prices.of("aws:eks/cluster:Cluster", "c", {})[0] or 0) > 0
    assert (prices.of("aws:ec2/natGateway:NatGateway", "n", {})[0] or 0) > 0
    assert prices.of("aws:ec2/vpc:Vpc", "v", {}) == (0.0, "")
    assert prices.of("aws:s3/bucketV2:BucketV2", "b", {}) == (None, "billed by what it holds")
    usd, why = prices.of("aws:new/thing:Thing", "t", {})
    assert (usd, "not known here" in why) == (None, True)
    assert FleetPrices(None, []).of("aws:eks/cluster:Cluster", "c", {}) == (0.1, ""), "the same in each region"
    assert FleetPrices(None, []).of("aws:ec2/natGateway:NatGateway", "n", {})[0] is None


def test_sums_leave_unknown_prices_out_and_say_so() -> None:
    preview = FleetPreview(steps=(step("create", 2.0), step("create", None, name="b")), hours=10.0)
    assert (preview.usd_per_hour, preview.usd_of_run, len(preview.unpriced)) == (2.0, 20.0, 1)
    assert "at least $2.00/h, at least $20.00 for the run" in preview_text(preview, WIDE)
    assert preview.as_data()["unpriced"] == 1


def test_what_stays_is_counted_and_nothing_else_is_shown() -> None:
    assert preview_text(FleetPreview(steps=(step("same", 2.0, 2.0),)), WIDE).startswith("nothing would change")


def test_drift_says_what_more_or_less_is_paid() -> None:
    drift = FleetDrift(steps=(step("update", 3.0, 1.0), step("delete", 0.0, 4.0, "b"), step("same", 1.0, 1.0, "c")))
    assert drift.usd_per_hour_change == -2.0
    assert "2 resources of 3: −$2.00/h" in drift_text(drift, WIDE)
    lost = FleetDrift(steps=(step("delete", None, None),))
    assert "and what has no price" in drift_text(lost, WIDE), "an unknown price is no zero"
    assert drift_text(FleetDrift(steps=(step("same", 1.0, 1.0),)), WIDE) == "no drift: 1 resource as the state says"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [(("scalingConfig.desiredSize",), True), (("count", "minCount"), True), (("count", "tags"), False), ((), False)],
)
def test_nodes_that_a_supervisor_asks_for_are_no_drift(changed: tuple[str, ...], expected: bool) -> None:
    found = FleetStep(op="update", urn="u", type=GROUP, name="gpu", usd_per_hour=1.0, changed=changed)
    assert only_nodes(found) is expected
    vpc = FleetStep(op="update", urn="u", type="aws:ec2/vpc:Vpc", name="v", usd_per_hour=0.0, changed=changed)
    assert not only_nodes(vpc)
