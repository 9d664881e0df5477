"""The reward of code: tests in the sandbox or their prediction, and judges; for TRL, verl, OpenRLHF and SkyRL.

It is the mean of its parts by weight: 1 for the share of tests that pass, each judge's own.  A part that is unknown
(a judge whose answer says no score) is left out of the mean, and counted in `..._unknown_share`; it is never 0.
A server that stays away raises, so that the step fails and the run goes on from its checkpoint.

Settings: `reward.json` beside the role's other files; docs/frameworks.md.

    TRL       reward_funcs: [clusterctl_mixed_rewards.reward]       column `tests`, and `entry_point` as in HumanEval
    verl      reward.custom_reward_function.path=clusterctl_mixed_rewards.py     ground_truth = the tests
    OpenRLHF  --reward.remote_url clusterctl_mixed_rewards.py                    label = the tests
    SkyRL     environment.env_class=clusterctl             columns `tests`, and `entry_point` as in HumanEval
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # verl and OpenRLHF load this file by its path alone

import clusterctl_rewards
from clusterctl_chat import code_in, model_of, urls_of
from clusterctl_critic import PASSES, OutcomeCritic, agreement
from clusterctl_execution import Ran, called_tests, run, whole_program
from clusterctl_http import ServerAway
from clusterctl_judges import Judge

AT_ONCE = 32
"""Samples that are scored at once: the servers queue the rest."""


class NoVerdict(ServerAway):
    """No sandbox has a verdict on any of the programs."""


@dataclass(frozen=True)
class Sample:
    """One answer of the policy."""

    problem: str
    answer: str
    tests: tuple[str, ...]
    """Python that raises where the program is wrong, each scored by itself."""
    entry_point: str = ""
    """The function that the answer must define, where it may continue the problem's own code."""


@dataclass(frozen=True)
class Scored:
    """What an answer is worth."""

    execution: float | None
    """Share of its tests that pass, or the predicted chance that all do; None: its sandbox failed."""
    predicted: bool
    judged: Mapping[str, float | None]
    reward: float | None
    """From 0 to 1; None: the tests have no verdict, so the sample is left out."""


@dataclass(frozen=True)
class Reward:
    """The parts of the reward."""

    execute: Callable[[str, Sequence[str]], Ran | None] = run
    critic: OutcomeCritic | None = None
    judges: tuple[Judge, ...] = ()

    def score(self, samples: Sequence[Sample]) -> tuple[list[Scored], dict[str, float]]:
        """The rewards, in order, and what to log.  Raises ServerAway; NoVerdict, which is one; ServerRefused."""
        programs = [whole_program(one.problem, code_in(one.answer), one.entry_point) for one in samples]
        asked = [(sample.problem, program) for sample, program in zip(samples, programs, strict=True)]
        chances = self.critic.chances(asked) if self.critic else []
        predicted = [self.critic is not None and self.critic.decides(*one) for one in asked]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            runs = [
                None if skip else pool.submit(self.execute, program, called_tests(sample.tests, sample.entry_point))
                for sample, program, skip in zip(samples, programs, predicted, strict=True)
            ]
            results = [one.result() if one else None for one in runs]
            if any(runs) and not any(results):
                raise NoVerdict(f"no sandbox has a verdict on any of {sum(map(bool, runs))} programs")
            executions = [
                (chances[n] if predicted[n] else None) if result is None else result.share
                for n, result in enumerate(results)
            ]
            judged = list(pool.map(self._judged, asked, executions))
        scored = [
            Scored(execution=execution, predicted=skip, judged=scores, reward=self._mean(execution, scores))
            for execution, skip, scores in zip(executions, predicted, judged, strict=True)
        ]
        compared = [(chances[n], result.all_passed) for n, result in enumerate(results) if result and self.critic]
        ran = [result for result in results if result]
        metrics = {"pass_at_1": sum(result.all_passed for result in ran) / len(ran)} if ran else {}
        metrics |= agreement(compared) if self.critic else {}
        return scored, metrics | _shares(scored, self.judges)

    def _judged(self, asked: tuple[str, str], execution: float | None) -> dict[str, float | None]:
        passes = execution is not None and execution >= (PASSES if self.critic else 1.0)
        return {
            judge.name: 0.0 if judge.only_passing and not passes else judge.score(*asked)
            for judge in self.judges
            if execution is not None and judge.weight > 0
        }

    def _mean(self, execution: float | None, judged: Mapping[str, float | None]) -> float | None:
        if execution is None:
            return None
        weights = {judge.name: judge.weight for judge in self.judges}
        known = {name: score for name, score in judged.items() if score is not None}
        total = execution + sum(weights[name] * score for name, score in known.items())
        return total / (1.0 + sum(weights[name] for name in known))


def _shares(scored: Sequence[Scored], judges: Sequence[Judge]) -> dict[str, float]:
    """Means over the samples that have the part, and the share that has not."""
    columns: dict[str, list[float | None]] = {"execution": [one.execution for one in scored]}
    for judge in judges:
        columns[f"judge_{judge.name}"] = [one.judged.get(judge.name) for one in scored if one.execution is not None]
    metrics = {"predicted_share": sum(one.predicted for one in scored) / max(len(scored), 1)}
    for name, values in columns.items():
        known = [value for value in values if value is not None]
        if known:
            metrics[name] = sum(known) / len(known)
        if values:
            metrics[f"{name}_unknown_share"] = 1.0 - len(known) / len(values)
    return metrics


@cache
def from_settings() -> Reward:
    """What `reward.json` in the role's folder says.  Raises OSError, ValueError for a file that says nothing."""
    file = Path(os.environ.get("CLUSTERCTL_FOLDER", ".")) / "reward.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    critic = said.get("outcome_critic")
    return Reward(
        execute=partial(run, seconds=said.get("seconds", 10.0)),
        critic=OutcomeCritic(
            urls=urls_of(critic.get("urls", "CRITIC_URLS")),
            replaced_share=critic["replaced_share"],
            model=critic.get("model", "default"),
        )
        if critic
        else None,
        judges=tuple(
            Judge(
                name=judge["name"],
                weight=judge["weight"],
                only_passing=judge.get("share", 1.0) < 1.0,
                max_tokens=judge.get("max_tokens", 200),
                model=model_of(judge),
            )
            for judge in said.get("judges", ())
        ),
    )


def reward(
    prompts: Sequence[Any], completions: Sequence[Any], tests: Sequence[Any], log_metric: Any = None, **columns: Any
) -> list[float | None]:
    """TRL's reward function.  TRL leaves a sample with None out of its group."""
    points = columns.get("entry_point") or [""] * len(tests)
    samples = [
        Sample(problem=_text(prompt), answer=_text(completion), tests=_tests(one), entry_point=point or "")
        for prompt, completion, one, point in zip(prompts, completions, tests, points, strict=True)
    ]
    for tell in clusterctl_rewards.observers:
        tell(None)
    scored, metrics = from_settings().score(samples)
    rewards = [one.reward for one in scored]
    for tell in clusterctl_rewards.observers:
        tell(rewards)
    for name, value in metrics.items():
        if log_metric is not None:
            log_metric(name, value)
    return rewards


def compute_score(
    solution_str: str, ground_truth: Any, extra_info: Mapping[str, Any] | None = None, **_: Any
) -> dict[str, float]:
    """verl's reward function, called by keywords.  Raises RuntimeError for a sample without a verdict: verl leaves none
    out."""
    problem = str((extra_info or {}).get("problem", ""))
    (one,), metrics = from_settings().score([Sample(problem, solution_str, _tests(ground_truth))])
    if one.reward is None:
        raise RuntimeError("the sandbox has no verdict on a program")
    return {"score": one.reward, **_of_each(metrics)}


def reward_func(queries: Sequence[str], prompts: Sequence[str], labels: Sequence[Any]) -> dict[str, Any]:
    """OpenRLHF's reward function; a query is the prompt with its answer.  Raises RuntimeError as verl's."""
    samples = [
        Sample(problem=prompt, answer=query[len(prompt) :] if query.startswith(prompt) else query, tests=_tests(label))
        for query, prompt, label in zip(queries, prompts, labels, strict=True)
    ]
    scored, metrics = from_settings().score(samples)
    rewards = [one.reward for one in scored]
    if None in rewards:
        raise RuntimeError("the sandbox has no verdict on a program")
    value = rewards[0] if len(rewards) == 1 else rewards  # OpenRLHF 0.11 asks about one at a time, and wants a number
    return {"rewards": value, "scores": value, "extra_logs": _of_each(metrics)}


def score_row(row: Mapping[str, Any], answer: str) -> tuple[float, dict[str, float]]:
    """Reward and metrics of an answer to a row, for SkyRL, which leaves none out: 0 where no sandbox has a verdict.

    Raises ServerAway for a judge that stays away, ServerRefused.
    """
    problem, point = _text(row.get("prompt", "")), row.get("entry_point") or ""
    asked = Sample(problem=problem, answer=answer, tests=_tests(row["tests"]), entry_point=point)
    try:
        (one,), metrics = from_settings().score([asked])
    except NoVerdict:
        return 0.0, {"sandbox_error_share": 1.0}
    return one.reward or 0.0, {"sandbox_error_share": 0.0, **metrics}


def _of_each(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics that every sample has: these frameworks want the same ones of all."""
    names = ("execution", "predicted_share", "critic_compared", "critic_agreed")
    return {name: value for name, value in metrics.items() if name in names or name.endswith("_unknown_share")}


def _text(said: Any) -> str:
    """What was said last, of a conversation, or a plain text."""
    return said if isinstance(said, str) else str(said[-1]["content"])


def _tests(said: Any) -> tuple[str, ...]:
    """Tests as data sets hold them: a list, a text, or JSON of one of them."""
    if isinstance(said, str) and said.lstrip().startswith(("[", '"')):
        with suppress(ValueError):
            said = json.loads(said)
    return (said,) if isinstance(said, str) else tuple(str(one) for one in said)
