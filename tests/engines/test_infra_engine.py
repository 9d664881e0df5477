"""The Pulumi program on the real engine with the real SDKs, beside a cloud that is not there: up, up again, resize,
refresh, destroy; no capacity.  One cloud in each run of the engine tests, all of them with the slow tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "pulumi"
sys.path.insert(0, str(HERE))

from fleet import PYTHON, FakeFleet, build_engine, make_plan  # noqa: E402 - found by the path above


class Stack(FakeFleet):
    """A plan's stack and its cloud, in one folder."""

    def act(self, what: str, *settings: str) -> subprocess.CompletedProcess[str]:
        """Runs an act to its end."""
        return subprocess.run(
            [PYTHON, HERE / "stack.py", what, self.folder, self.plan, *settings],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )

    def changes(self, what: str, *settings: str) -> dict[str, int]:
        """What an act has changed, by kind of change."""
        done = self.act(what, *settings)
        assert done.returncode == 0, done.stderr[-3000:]
        return dict(json.loads(done.stdout)["changes"])

    def plan_more_nodes(self) -> None:
        """The plan is edited: twice as many nodes in each pool."""
        plan = json.loads(self.plan.read_text())
        for pool in plan["pools"]:
            pool["nodes"] *= 2
        self.plan.write_text(json.dumps(plan))

    def scale(self, nodes: int) -> None:
        """As the supervisor does it: in the cloud, past Pulumi."""
        for held in self.cloud.held():
            if held.type == "aws:eks/nodeGroup:NodeGroup" and held.name != "system":
                scaling = {**held.properties["scalingConfig"], "desiredSize": nodes}
                self.cloud.update(held.id, {**held.properties, "scalingConfig": scaling})


@pytest.fixture(scope="module")
def engine() -> Path:
    """The folder of Pulumi's engine, which is built where it is missing."""
    return build_engine()


@pytest.fixture
def stack_on(tmp_path: Path, engine: Path, in_process: Callable[..., Any]) -> Callable[[str], Stack]:
    """A stack of a plan on a cloud."""
    return lambda cloud: Stack(tmp_path, engine, make_plan(tmp_path, in_process, cloud))


def test_a_supervised_fleet_is_made_without_nodes_and_left_alone(stack_on: Callable[[str], Stack]) -> None:
    stack = stack_on("aws")
    made = stack.changes("up", "nodes=supervisor")
    assert set(made) == {"create"}
    assert len(stack.cloud.held()) > 40
    assert stack.cloud.metered_usd() == 0, "no node of the plan is paid yet"
    stack.scale(1)
    stack.changes("refresh", "nodes=supervisor")
    assert set(stack.changes("up", "nodes=supervisor")) == {"same"}, "the supervisor's nodes stay"
    assert stack.cloud.metered_usd() > 0
    assert set(stack.changes("destroy")) == {"delete"}
    assert stack.cloud.held() == []


@pytest.mark.slow
@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_up_again_resize_destroy(stack_on: Callable[[str], Stack], cloud: str) -> None:
    stack = stack_on(cloud)
    assert set(stack.changes("up")) == {"create"}
    there = len(stack.cloud.held())
    before = stack.cloud.metered_usd()
    assert before > 0
    assert set(stack.changes("up")) == {"same"}
    stack.plan_more_nodes()
    resized = stack.changes("up")
    assert (resized["update"], set(resized)) == (len(stack.pools), {"same", "update"}), "in place, nothing but pools"
    assert len(stack.cloud.held()) == there
    assert set(stack.changes("destroy")) == {"delete"}
    assert stack.cloud.held() == []
    ended = stack.cloud.metered_usd()
    assert stack.cloud.metered_usd() == pytest.approx(ended, abs=Decimal("0.0001")), "nothing is paid any more"


@pytest.mark.slow
def test_no_capacity_is_said_and_the_rest_goes_on(stack_on: Callable[[str], Stack]) -> None:
    stack = stack_on("aws")
    (gpu,) = [pool["instance_type"] for pool in stack.pools if pool["gpu"]]
    stack.cloud.set(no_capacity=[gpu])
    failed = stack.act("up")
    assert failed.returncode != 0
    assert f"InsufficientInstanceCapacity: no capacity for {gpu}" in failed.stderr
    stack.cloud.set(no_capacity=[])
    assert "create" in stack.changes("up")
    assert set(stack.changes("up")) == {"same"}
    stack.changes("destroy")
    assert stack.cloud.held() == []
