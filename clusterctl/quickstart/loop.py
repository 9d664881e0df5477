"""The loop: the policy writes programs, the sandbox judges them, GRPO updates the policy; marks, log and result."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterctl.files.write import write_atomic
from clusterctl.quickstart.grpo import Adam, learn
from clusterctl.quickstart.judge import reward
from clusterctl.quickstart.policy import Vocabulary, new_parameters, write_programs
from clusterctl.quickstart.problems import PROBLEMS
from clusterctl.quickstart.run_state import RunState, append_line, resume
from clusterctl.telemetry import phase

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clusterctl.quickstart.judge import Verdict
    from clusterctl.quickstart.problems import Problem
    from clusterctl.quickstart.sandbox_client import SandboxClient

STAGE = "rlcef"
ENDS = 5
"""Steps at the start and at the end over which the result takes means."""
_VOCABULARY = Vocabulary(PROBLEMS)
_PARAMETERS, _ORDER, _SAMPLES = range(3)
"""Independent streams of random numbers under one seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The same settings give the same run, step for step."""

    prompts: int = 10
    samples: int = 6
    seed: int = 0


def say(line: str) -> None:
    """One line on stdout, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def problems_of_step(settings: Settings, step: int) -> list[Problem]:
    """The problems of a step (from 0): all of them in random order, then all in another, and so on."""
    picked = []
    for position in range(step * settings.prompts, (step + 1) * settings.prompts):
        turn, index = divmod(position, len(PROBLEMS))
        order = np.random.default_rng([settings.seed, _ORDER, turn]).permutation(len(PROBLEMS))
        picked.append(PROBLEMS[order[index]])
    return picked


async def run(run_dir: Path, sandbox: SandboxClient, settings: Settings, steps: int) -> None:
    """Go on from the folder's checkpoint, or from nothing, until `steps` are done.  Raises ClusterctlError."""
    rng = np.random.default_rng([settings.seed, _PARAMETERS])
    fresh = RunState(settings=asdict(settings), parameters=new_parameters(_VOCABULARY, rng), adam=Adam())
    state = resume(run_dir, fresh)
    if state is fresh:
        state.save(run_dir)
    else:
        say(f"goes on after step {state.steps_done}")
    while state.steps_done < steps:
        mark = await one_step(state, sandbox, settings, steps)
        state.save(run_dir)
        append_line(run_dir / "samples.jsonl", "\n".join(json.dumps(sample) for sample in mark["samples"]))
        say(readable(mark))
    result = await _result(run_dir, state, sandbox)
    write_atomic(run_dir / "result.json", json.dumps(result, indent=1) + "\n")
    say(f"done: reward {result['first']['reward']:.2f} in the first steps, {result['last']['reward']:.2f} in the last")


async def one_step(state: RunState, sandbox: SandboxClient, settings: Settings, steps: int) -> dict[str, Any]:
    """One RL step: its mark, with the first program for each problem as `samples`.  Changes `state` only after its
    last wait, so that an abandoned step leaves nothing behind."""
    started = time.perf_counter()
    phase("generate")
    problems = [p for p in problems_of_step(settings, state.steps_done) for _ in range(settings.samples)]
    rng = np.random.default_rng([settings.seed, _SAMPLES, state.steps_done])
    programs, choices = write_programs(state.parameters, _VOCABULARY, problems, rng)
    generated = time.perf_counter()
    phase("sandbox")
    verdicts = await sandbox.judge(problems, programs)
    judged = time.perf_counter()
    phase("train")
    rewards = np.array([reward(verdict.visible) for verdict in verdicts]).reshape(-1, settings.samples)
    entropy = learn(state.parameters, state.adam, choices, rewards)
    state.steps_done += 1
    mark = {
        "at": datetime.now(tz=UTC).isoformat(), "stage": STAGE, "step": state.steps_done, "of": steps,
        "phases": {"generate": generated - started, "sandbox": judged - generated,
                   "train": time.perf_counter() - judged},
        "metrics": measure(verdicts) | {"entropy_nats": entropy},
    }  # fmt: skip
    state.last_mark = json.dumps(mark)
    texts = zip(problems[:: settings.samples], programs[:: settings.samples], strict=True)
    samples = [{"step": state.steps_done, "problem": problem.name, "text": program} for problem, program in texts]
    return mark | {"samples": samples}


def measure(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Means over samples.  pass@1 is the share of samples that pass every test of a kind."""
    visible = float(np.mean([verdict.visible.passed_share == 1.0 for verdict in verdicts]))
    hidden = float(np.mean([verdict.hidden.passed_share == 1.0 for verdict in verdicts]))
    shares = {
        f"{status}_share": float(np.mean([verdict.visible.status == status for verdict in verdicts]))
        for status in ("not_compiled", "error", "time_limit")
    }
    rewards = [reward(verdict.visible) for verdict in verdicts]
    return {
        "reward": float(np.mean(rewards)), "pass_at_1_visible": visible, "pass_at_1_hidden": hidden,
        "visible_hidden_gap": visible - hidden, **shares,
    }  # fmt: skip


def readable(mark: dict[str, Any]) -> str:
    """A mark as a line of the log."""
    m, seconds = mark["metrics"], mark["phases"]
    return (
        f"step {mark['step']:>3}/{mark['of']}  reward {m['reward']:5.2f}  pass@1 {m['pass_at_1_visible']:4.0%} "
        f"hidden {m['pass_at_1_hidden']:4.0%}  not compiled {m['not_compiled_share']:3.0%} "
        f"error {m['error_share']:3.0%} time limit {m['time_limit_share']:3.0%}  "
        f"entropy {m['entropy_nats']:.2f}  {sum(seconds.values()):.1f} s"
    )


async def _result(run_dir: Path, state: RunState, sandbox: SandboxClient) -> dict[str, Any]:
    """Means of the first and last steps, seconds by phase, and what the policy now writes for each problem."""
    marks = [json.loads(line) for line in (run_dir / "marks.jsonl").read_text("utf-8").splitlines()]
    programs, _ = write_programs(state.parameters, _VOCABULARY, PROBLEMS, None)
    verdicts = await sandbox.judge(PROBLEMS, programs)

    def means(part: list[dict[str, Any]], key: str) -> dict[str, float]:
        return {name: float(np.mean([mark[key][name] for mark in part])) for name in marks[0][key]}

    return {
        "stage": STAGE, "steps": state.steps_done, "settings": state.settings, "first": means(marks[:ENDS], "metrics"),
        "last": means(marks[-ENDS:], "metrics"), "seconds_per_step": means(marks, "phases"),
        "problems": [
            {"name": problem.name, "prompt": problem.prompt, "program": program,
             "visible_share": verdict.visible.passed_share, "hidden_share": verdict.hidden.passed_share}
            for problem, program, verdict in zip(PROBLEMS, programs, verdicts, strict=True)
        ],
    }  # fmt: skip
