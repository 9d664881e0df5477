"""The loop: repeatable, learning from visible tests alone, and exactly one mark per step whatever is torn."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sandbox_here import SandboxHere

from clusterctl.errors import StateError
from clusterctl.jobs.judge import Ending, Outcome
from examples.quickstart import run_state
from examples.quickstart.grpo import advantages
from examples.quickstart.loop import Settings, problems_of_step, run
from examples.quickstart.problems import PROBLEMS

SMALL = Settings(prompts=4, samples=3, seed=5)


def train(folder: Path, sandbox: SandboxHere, steps: int, settings: Settings = SMALL) -> Path:
    folder.mkdir(exist_ok=True)
    asyncio.run(run(folder, sandbox, settings, steps))
    return folder


def marks(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "reports.jsonl").read_text().splitlines()]


def learned(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "checkpoint.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "about"}


def assert_same_run(left: Path, right: Path) -> None:
    for one, other in zip(marks(left), marks(right), strict=True):
        assert {**one, "at": 0, "phases": 0, "of": 0} == {**other, "at": 0, "phases": 0, "of": 0}
    ours, theirs = learned(left), learned(right)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_the_same_seed_gives_the_same_marks_and_parameters_and_another_others(tmp_path, sandbox) -> None:
    first = train(tmp_path / "a", sandbox, 4)
    assert_same_run(first, train(tmp_path / "b", sandbox, 4))
    other = train(tmp_path / "c", sandbox, 4, replace(SMALL, seed=6))
    assert [m["metrics"] for m in marks(other)] != [m["metrics"] for m in marks(first)]


def test_marks_say_what_a_watcher_needs(tmp_path, sandbox) -> None:
    folder = train(tmp_path / "run", sandbox, 3)
    assert [(m["stage"], m["step"], m["of"]) for m in marks(folder)] == [
        ("rlcef", 1, 3),
        ("rlcef", 2, 3),
        ("rlcef", 3, 3),
    ]
    for mark in marks(folder):
        assert set(mark) == {"at", "stage", "step", "of", "phases", "metrics"}
        assert set(mark["phases"]) == {"generate", "sandbox", "train"}
        assert all(seconds >= 0.0 for seconds in mark["phases"].values())
        metrics = mark["metrics"]
        gap = metrics["pass_at_1_visible"] - metrics["pass_at_1_hidden"]
        assert metrics["visible_hidden_gap"] == gap
        assert metrics["not_compiled_share"] + metrics["error_share"] + metrics["time_limit_share"] <= 1.0
        assert metrics["entropy_nats"] > 0.0
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == 3
    assert [row["name"] for row in result["problems"]] == [problem.name for problem in PROBLEMS]


def test_reward_rises_and_programs_that_fail_grow_rare(tmp_path, sandbox) -> None:
    folder = train(tmp_path / "run", sandbox, 30, Settings(seed=1))
    result = json.loads((folder / "result.json").read_text())
    first, last = result["first"], result["last"]
    assert last["reward"] > first["reward"] + 0.2
    assert last["pass_at_1_hidden"] > first["pass_at_1_hidden"] + 0.1
    assert first["not_compiled_share"] > 0.1 > last["not_compiled_share"]
    assert last["visible_hidden_gap"] > 0.0
    assert last["entropy_nats"] < first["entropy_nats"]


class HiddenFlipped(SandboxHere):
    """The same sandbox, with every hidden outcome turned round."""

    async def judge(self, problems, programs):
        verdicts = await super().judge(problems, programs)
        passed = Outcome(passed_share=1.0, status=Ending.TIME_LIMIT)
        return [replace(v, hidden=None if v.passes_hidden else passed) for v in verdicts]


def test_what_the_hidden_tests_say_changes_nothing_that_is_learned(tmp_path, sandbox) -> None:
    plain, flipped = train(tmp_path / "a", sandbox, 5), train(tmp_path / "b", HiddenFlipped(), 5)
    ours, theirs = learned(plain), learned(flipped)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    for one, other in zip(marks(plain), marks(flipped), strict=True):
        differ = {name for name, value in one["metrics"].items() if value != other["metrics"][name]}
        assert differ <= {"pass_at_1_hidden", "visible_hidden_gap"}
    assert [m["metrics"] for m in marks(plain)] != [m["metrics"] for m in marks(flipped)]


@pytest.mark.parametrize("prompts", [1, 5, 14, 30])
def test_every_problem_comes_as_often_as_every_other(prompts: int) -> None:
    steps = len(PROBLEMS)
    picked = Counter(p.name for step in range(steps) for p in problems_of_step(Settings(prompts=prompts), step))
    assert set(picked.values()) == {prompts}


def test_a_longer_run_goes_on_where_the_shorter_one_ended(tmp_path, sandbox) -> None:
    whole, parts = train(tmp_path / "whole", sandbox, 5), tmp_path / "parts"
    for steps in (2, 3, 5):
        train(parts, sandbox, steps)
    assert_same_run(whole, parts)


class Killed(BaseException):
    pass


def test_a_kill_between_checkpoint_and_mark_loses_and_repeats_nothing(tmp_path, sandbox, monkeypatch) -> None:
    whole, torn = train(tmp_path / "whole", sandbox, 4), tmp_path / "torn"
    append = run_state.append_line

    def killed_before(file: Path, line: str) -> None:
        raise Killed

    def killed_within(file: Path, line: str) -> None:
        with file.open("a") as stream:
            stream.write(line[:40])
        raise Killed

    for faulty in (killed_before, killed_within):
        monkeypatch.setattr(run_state, "append_line", faulty)
        with pytest.raises(Killed):
            train(torn, sandbox, 4)
        monkeypatch.setattr(run_state, "append_line", append)
        train(torn, sandbox, 2)
    train(torn, sandbox, 4)
    assert_same_run(whole, torn)


def test_a_kill_before_the_checkpoint_is_in_place_repeats_the_step(tmp_path, sandbox, monkeypatch) -> None:
    whole, torn = train(tmp_path / "whole", sandbox, 3), train(tmp_path / "torn", sandbox, 1)

    def killed(path: Path, content: bytes) -> None:
        path.with_name(".checkpoint.part").write_bytes(content[:100])
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_state, "write_atomic", killed)
        with pytest.raises(Killed):
            train(torn, sandbox, 3)
    assert len(marks(torn)) == 1
    assert_same_run(whole, train(torn, sandbox, 3))


def test_another_runs_folder_a_lost_and_a_damaged_checkpoint_are_refused(tmp_path, sandbox) -> None:
    folder = train(tmp_path / "run", sandbox, 1)
    with pytest.raises(StateError, match="belongs to another run"):
        train(folder, sandbox, 2, replace(SMALL, seed=9))
    content = (folder / "checkpoint.npz").read_bytes()
    for damaged in (b"", b"PK", content[: len(content) // 2], b"\x93NUMPY"):
        (folder / "checkpoint.npz").write_bytes(damaged)
        with pytest.raises(StateError, match="can't be read"):
            train(folder, sandbox, 2)
    (folder / "checkpoint.npz").unlink()
    with pytest.raises(StateError, match=r"checkpoint\.npz is gone"):
        train(folder, sandbox, 2)
    assert len(marks(folder)) == 1


class LosesSome(SandboxHere):
    """A sandbox that fails for every third program."""

    async def judge(self, problems, programs):
        verdicts = await super().judge(problems, programs)
        return [None if number % 3 == 0 else verdict for number, verdict in enumerate(verdicts)]


def test_samples_without_a_verdict_are_left_out_and_counted(tmp_path, sandbox) -> None:
    folder = train(tmp_path / "run", LosesSome(), 2)
    for mark in marks(folder):
        assert mark["metrics"]["sandbox_error_share"] == pytest.approx(1 / 3)
        assert all(np.isfinite(value) for value in mark["metrics"].values())
    assert all(np.isfinite(array).all() for array in learned(folder).values())
    rewards = np.array([[1.0, 0.0, np.nan], [np.nan, np.nan, np.nan], [0.5, np.nan, 0.5]])
    advantage = advantages(rewards)
    assert np.array_equal(advantage[0, :2], advantages(rewards[:1, :2])[0])
    assert not advantage[np.isnan(rewards)].any()
    assert not advantage[1:].any()
