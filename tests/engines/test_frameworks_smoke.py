"""Smoke sizes of frameworks, with each framework's own package, to their end on CPU as plain processes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from roles_here import CACHE, Place

from clusterctl.paths import bundle_root
from clusterctl.plan_service import load_world
from clusterctl.runs.job_reports import StepReport, read_report
from planners.plan.build import build_plan
from planners.plan.value import Plan
from planners.spec.run_spec import RunSpec


def smoke_plan(name: str, **changes: Any) -> Plan:
    spec = yaml.safe_load((bundle_root() / "templates" / "specs" / f"{name}.yaml").read_text("utf-8"))
    spec["stages"][0] |= changes
    checked = RunSpec.model_validate(spec)
    return build_plan(checked, load_world(checked), now=datetime.now(tz=UTC))


def needs(environment: str) -> None:
    if not (CACHE / environment / "made-from.lock").exists():
        pytest.skip(f"no environment {environment}: tests/engines/install.sh makes it")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(folder=tmp_path, environments={"trl-1.16.0-smoke": "trl", "skyrl-0.4.0-smoke": "skyrl"})


def test_trl_trains_on_the_reward_of_the_sandboxes_and_goes_on_from_its_checkpoint(place: Place) -> None:
    needs("trl")
    with place:
        first = smoke_plan("smoke-trl-grpo", model="clusterctl/smoke-tiny", steps=1)
        assert place.run(first, "rlcef", seconds=300) == 0, place.log("trainer")
        (report,) = place.reports()
        assert (report["step"], report["of"], report["stage"]) == (1, 1, "rlcef")
        assert set(report["phases"]) == {"generate", "sandbox", "train"}
        assert {"reward", "pass_at_1", "response_tokens"} <= set(report["metrics"])
        assert isinstance(read_report((place.folder / "reports.jsonl").read_bytes().strip()), StepReport)
        assert place.result()["steps"] == 1
        more = smoke_plan("smoke-trl-grpo", model="clusterctl/smoke-tiny", steps=2)
        assert place.run(more, "rlcef", seconds=300) == 0, place.log("trainer")
        assert [report["step"] for report in place.reports()] == [1, 2], "it began again"
        assert place.result()["steps"] == 2


@pytest.mark.slow
def test_trl_trains_a_real_chat_model_of_135_million_parameters(place: Place) -> None:
    needs("trl")
    with place:
        assert place.run(smoke_plan("smoke-trl-grpo"), "rlcef", seconds=580) == 0, place.log("trainer")
        assert [report["step"] for report in place.reports()] == [1, 2, 3]
        assert sum(report["metrics"]["reward"] for report in place.reports()) > 0, "it solves none of the problems"


@pytest.mark.slow
def test_skyrl_samples_and_takes_steps_on_the_reward_of_the_sandboxes(place: Place) -> None:
    needs("skyrl")
    with place:
        assert place.run(smoke_plan("smoke-skyrl"), "rlcef", seconds=580) == 0, place.log("trainer")
        first, second = place.reports()
        assert set(first["phases"]) == {"weight sync", "generate", "sandbox", "train"}
        assert first["metrics"]["sandbox_error_share"] == 0.0
        assert (second["step"], place.result()["steps"]) == (2, 2)


OWN = """
python3 - <<'PYTHON'
import os
import clusterctl_reports, clusterctl_rewards
timer = clusterctl_reports.Phases()
timer.enter("sandbox")
answers = ["def double(x):\\n    return 2 * x", "def double(x):\\n    return x"]
rewards = clusterctl_rewards.passes(["double"] * 2, answers, ["assert double(4) == 8"] * 2)
timer.enter("train")
open(os.path.join(os.environ["CLUSTERCTL_CHECKPOINTS"] + ".done"), "w").close()
clusterctl_reports.report(1, 1, timer.take(), {"reward": sum(rewards) / 2, "weights": os.environ["CLUSTERCTL_WEIGHTS"]})
clusterctl_reports.done(steps=1)
PYTHON
"""


def test_a_trainer_of_ones_own_asks_the_sandboxes_and_reports(place: Place) -> None:
    with place:
        plan = smoke_plan("smoke-trl-grpo", job={"command": OWN, "setup": "touch prepared"})
        assert place.run(plan, "rlcef", seconds=60) == 0, place.log("trainer")
        (report,) = place.reports()
        assert (report["metrics"], set(report["phases"])) == ({"reward": 0.5}, {"sandbox", "train"})
        assert (place.folder / "trainer" / "prepared").exists()
        assert place.result() == {"stage": "rlcef", "steps": 1}
