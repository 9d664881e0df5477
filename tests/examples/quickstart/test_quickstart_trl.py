"""What of the engine TRL needs no TRL: judging, marking, going on, and saying what is missing.  The rest: tests/engines."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sandbox_here import SandboxHere

from clusterctl.errors import ClusterctlError, StateError
from clusterctl.jobs import quickstart
from clusterctl.paths import bundle_root
from clusterctl.plan_service import Planner, open_source
from examples.quickstart.loop import Settings
from examples.quickstart.problems import PROBLEMS
from examples.quickstart.run_state import Progress, last_state
from examples.quickstart.tiny_llama import prompt_of
from examples.quickstart.trl_loop import CHECKPOINT, Loop, load_progress

TEMPLATE = bundle_root() / "templates" / "specs" / "quickstart-trl.yaml"
SETTINGS = Settings(prompts=2, samples=2, seed=0)


def loop(folder: Path, sandbox: SandboxHere) -> Loop:
    return Loop(run_dir=folder, settings=SETTINGS, steps=3, judge=lambda *pair: asyncio.run(sandbox.judge(*pair)))


def test_completions_are_judged_as_programs_and_a_saved_step_is_marked(tmp_path: Path, sandbox: SandboxHere) -> None:
    steps = loop(tmp_path, sandbox)
    steps.begin()
    body = PROBLEMS[0].answer.removeprefix("def solve(xs):")
    assert prompt_of(PROBLEMS[0]).endswith("\ndef solve(xs):")
    assert steps.rewards([body, "\n    return 0\n"], number=[0, 0], prompts=[]) == [1.0, 0.0]
    steps.saved(1, 0.5)
    (mark,) = [json.loads(line) for line in (tmp_path / "reports.jsonl").read_text().splitlines()]
    assert (mark["step"], mark["of"], list(mark["phases"])) == (1, 3, ["generate", "sandbox", "train"])
    assert (mark["metrics"]["reward"], mark["metrics"]["entropy_nats"]) == (0.5, 0.5)


def test_a_completion_whose_sandbox_fails_has_no_reward(tmp_path: Path, sandbox: SandboxHere) -> None:
    """TRL keeps None out of the group's mean, and gives it no advantage."""
    steps = loop(tmp_path, sandbox)
    judge = steps.judge
    steps.judge = lambda problems, programs: [None, *judge(problems[1:], programs[1:])]
    body = PROBLEMS[0].answer.removeprefix("def solve(xs):")
    assert steps.rewards([body, body, "\n    return 0\n"], number=[0, 0, 0]) == [None, 1.0, 0.0]
    assert steps.metrics["sandbox_error_share"] == pytest.approx(1 / 3)
    assert steps.metrics["reward"] == 0.5


def test_a_mark_that_a_kill_took_comes_back_from_the_checkpoint(tmp_path: Path, sandbox: SandboxHere) -> None:
    steps = loop(tmp_path, sandbox)
    steps.rewards(["\n    return 0\n"], number=[0])
    steps.saved(1, 0.5)
    whole = (tmp_path / "reports.jsonl").read_bytes()
    settings = {"prompts": 2, "samples": 2, "seed": 0}
    for torn in (b"", whole[:30]):
        (tmp_path / "reports.jsonl").write_bytes(torn)
        state = last_state(tmp_path / CHECKPOINT, load_progress, settings)
        assert isinstance(state, Progress)
        assert state.steps_done == 1
        assert (tmp_path / "reports.jsonl").read_bytes() == whole
    with pytest.raises(StateError, match="belongs to another run"):
        last_state(tmp_path / CHECKPOINT, load_progress, settings | {"seed": 1})
    for damaged in ("", "{}", "[1]", '{"steps": 1}'):
        (tmp_path / CHECKPOINT).write_text(damaged)
        with pytest.raises(StateError, match="can't be read"):
            last_state(tmp_path / CHECKPOINT, load_progress, settings)


@pytest.mark.parametrize(
    ("absent", "said"), [({"torch", "trl"}, "torch, trl"), ({"datasets"}, "datasets"), (set(), None)]
)
def test_packages_that_are_missing_are_named_before_anything_starts(
    absent: set[str], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Planner(now=datetime.now(tz=UTC)).plan(open_source(str(TEMPLATE)))
    monkeypatch.setattr(quickstart, "find_spec", lambda package: None if package in absent else object())
    if said is None:
        quickstart.check_quickstart(plan)
        return
    with pytest.raises(ClusterctlError, match=f"missing: {said}$") as caught:
        quickstart.check_quickstart(plan)
    assert caught.value.hint == "pip install 'clusterctl[train]'"


def test_the_trainer_of_the_template_is_told_to_use_trl(tmp_path: Path) -> None:
    plan = Planner(now=datetime.now(tz=UTC)).plan(open_source(str(TEMPLATE)))
    trainer = quickstart.quickstart_jobs(plan, tmp_path, store=tmp_path, port=None)["trainer"]
    assert "--trl" in trainer.command
