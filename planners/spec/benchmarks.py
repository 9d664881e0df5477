"""Benchmarks by name: how many problems, how long, what their harness runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planners.spec.distributions import Durations, Lengths
from planners.spec.stage_options import ProfileName
from planners.spec.stages_agent import BenchmarkName


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What an `evaluate` stage that names a benchmark may leave out."""

    profile: ProfileName
    judge_seconds: Durations
    """One judging run."""
    fields: Mapping[str, Any]
    """Of the stage.  Tokens per sample (one turn) or per turn (agents); seconds per tool call."""
    source: str


_ONE_TURN = {"turns": 1, "observation_tokens": Lengths(mean=0), "tool_seconds": Durations(mean=0)}
_REPOSITORY = {
    "turns": 50,
    "prompt_tokens": Lengths(mean=5000),
    "response_tokens": Lengths(mean=300),
    "observation_tokens": Lengths(mean=800),
    "tool_seconds": Durations(mean=2, p95=15),
}


def _functions(tasks: int, prompt: float, response: float, judge: Durations, source: str) -> Benchmark:
    fields = {"tasks": tasks, "prompt_tokens": Lengths(mean=prompt), "response_tokens": Lengths(mean=response)}
    return Benchmark("judge", judge, _ONE_TURN | fields, source)


def _repositories(tasks: int, source: str) -> Benchmark:
    source += "; turns, tokens per turn and seconds are assumptions"
    return Benchmark("swe", Durations(mean=90, p95=600), _REPOSITORY | {"tasks": tasks}, source)


BENCHMARKS: dict[BenchmarkName, Benchmark] = {
    "humaneval": _functions(164, 180, 300, Durations(mean=1, p95=5), "HumanEval, arXiv:2107.03374: 164 problems"),
    "evalplus": _functions(
        542, 150, 300, Durations(mean=3, p95=10), "EvalPlus, arXiv:2305.01210: HumanEval+ 164 and MBPP+ 378 problems"
    ),
    "mbpp": _functions(500, 100, 200, Durations(mean=1, p95=5), "MBPP, arXiv:2108.07732: 500 test problems"),
    "livecodebench": _functions(
        880, 600, 2000, Durations(mean=5, p95=20), "LiveCodeBench release_v5: 880 problems; lengths are assumptions"
    ),
    "swebench-lite": _repositories(300, "SWE-bench Lite: 300 issues"),
    "swebench-verified": _repositories(500, "SWE-bench Verified: 500 issues"),
    "custom": Benchmark("judge", Durations(mean=3, p95=10), _ONE_TURN, "the run spec"),
}
