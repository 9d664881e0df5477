"""The loop: the policy writes programs, the sandbox judges them, GRPO updates the policy; reports, log and result."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clusterctl.jobs.judge import reward
from examples.quickstart.grpo import Adam, learn
from examples.quickstart.policy import Vocabulary, new_parameters, write_programs
from examples.quickstart.problems import PROBLEMS, Problem
from examples.quickstart.report import Phases, measure, report_of, show_step, write_result
from examples.quickstart.run_state import CHECKPOINT, RunState, last_state

if TYPE_CHECKING:
    from clusterctl.jobs.sandbox_client import SandboxClient

_VOCABULARY = Vocabulary(PROBLEMS)
_PARAMETERS, _ORDER, _SAMPLES = range(3)
"""Independent streams of random numbers under one seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The same settings give the same run, step for step."""

    prompts: int = 10
    samples: int = 6
    seed: int = 0


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
    state = last_state(run_dir / CHECKPOINT, RunState.load, asdict(settings))
    if state is None:
        rng = np.random.default_rng([settings.seed, _PARAMETERS])
        state = RunState(settings=asdict(settings), parameters=new_parameters(_VOCABULARY, rng), adam=Adam())
        state.save(run_dir)
    while state.steps_done < steps:
        report, problems, programs = await one_step(state, sandbox, settings, steps)
        state.save(run_dir)
        show_step(run_dir, report, problems, programs, every=settings.samples)
    programs, _ = write_programs(state.parameters, _VOCABULARY, PROBLEMS, None)
    verdicts = await sandbox.judge(PROBLEMS, programs)
    write_result(run_dir, state.settings, zip(PROBLEMS, programs, verdicts, strict=True))


async def one_step(
    state: RunState, sandbox: SandboxClient, settings: Settings, steps: int
) -> tuple[dict[str, Any], list[Problem], list[str]]:
    """One RL step: its report, and programs with their problems.  Changes `state` only after its last wait, so that an
    abandoned step leaves nothing behind."""
    phases = Phases("generate")
    problems = [p for p in problems_of_step(settings, state.steps_done) for _ in range(settings.samples)]
    rng = np.random.default_rng([settings.seed, _SAMPLES, state.steps_done])
    programs, choices = write_programs(state.parameters, _VOCABULARY, problems, rng)
    phases.enter("sandbox")
    verdicts = await sandbox.judge(problems, programs)
    phases.enter("train")
    rewards = np.array([reward(verdict) for verdict in verdicts], dtype=float).reshape(-1, settings.samples)
    entropy = learn(state.parameters, state.adam, choices, rewards)
    state.steps_done += 1
    report = report_of(state.steps_done, steps, phases.end(), measure(verdicts) | {"entropy_nats": entropy})
    state.last_report = json.dumps(report)
    return report, problems, programs
