"""Benchmarks by name: how many problems, how long, what their harness runs."""

from dataclasses import dataclass
from typing import TypeVar

from planners.spec.lengths import Durations, Lengths
from planners.spec.options import ProfileName, SandboxSpec
from planners.spec.profiles import Assumed, SandboxNeed, sandbox_need
from planners.spec.stages_agent import BenchmarkName, EvaluateStage

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark.  Tokens per sample (one turn) or per turn (agents); seconds per judging run or tool call."""

    tasks: int | None
    turns: int
    prompt_tokens: Lengths | None
    response_tokens: Lengths | None
    observation_tokens: Lengths
    tool_seconds: Durations
    judge_seconds: Durations
    profile: ProfileName
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksNeed:
    """Tasks for a model, each tried `samples` times over some turns, with every field known.  Lengths per turn."""

    tasks: int
    samples: int
    turns: int
    prompt_tokens: Lengths
    response_tokens: Lengths
    observation_tokens: Lengths
    tool_seconds: Durations
    sandbox: SandboxNeed
    assumed: tuple[Assumed, ...]


_NO_TOKENS, _NO_TOOL = Lengths(mean=0), Durations(mean=0)


def _functions(tasks: int, prompt: float, response: float, judge: Durations, source: str) -> Benchmark:
    return Benchmark(
        tasks=tasks,
        turns=1,
        prompt_tokens=Lengths(mean=prompt),
        response_tokens=Lengths(mean=response),
        observation_tokens=_NO_TOKENS,
        tool_seconds=_NO_TOOL,
        judge_seconds=judge,
        profile="judge",
        source=source,
    )


def _repositories(tasks: int, source: str) -> Benchmark:
    return Benchmark(
        tasks=tasks,
        turns=50,
        prompt_tokens=Lengths(mean=5000),
        response_tokens=Lengths(mean=300),
        observation_tokens=Lengths(mean=800),
        tool_seconds=Durations(mean=2, p95=15),
        judge_seconds=Durations(mean=90, p95=600),
        profile="swe",
        source=source,
    )


_SWE_NOTE = "turns, tokens per turn and seconds are assumptions"
BENCHMARKS: dict[BenchmarkName, Benchmark] = {
    "humaneval": _functions(164, 180, 300, Durations(mean=1, p95=5), "HumanEval, arXiv:2107.03374: 164 problems"),
    "evalplus": _functions(
        542, 150, 300, Durations(mean=3, p95=10), "EvalPlus, arXiv:2305.01210: HumanEval+ 164 and MBPP+ 378 problems"
    ),
    "mbpp": _functions(500, 100, 200, Durations(mean=1, p95=5), "MBPP, arXiv:2108.07732: 500 test problems"),
    "livecodebench": _functions(
        880, 600, 2000, Durations(mean=5, p95=20), "LiveCodeBench release_v5: 880 problems; lengths are assumptions"
    ),
    "swebench-lite": _repositories(300, f"SWE-bench Lite: 300 issues; {_SWE_NOTE}"),
    "swebench-verified": _repositories(500, f"SWE-bench Verified: 500 issues; {_SWE_NOTE}"),
    "custom": Benchmark(
        tasks=None, turns=1, prompt_tokens=None, response_tokens=None, observation_tokens=_NO_TOKENS,
        tool_seconds=_NO_TOOL, judge_seconds=Durations(mean=3, p95=10), profile="judge", source="the run spec",
    ),
}  # fmt: skip


def evaluate_need(stage: EvaluateStage) -> TasksNeed:
    """`stage` with every gap filled from its benchmark; each filled field is listed in `assumed` with its source."""
    benchmark = BENCHMARKS[stage.benchmark]
    assumed: list[Assumed] = []

    def filled(field: str, stated: T | None, default: T | None) -> T:
        if stated is not None:
            return stated
        if default is None:
            raise ValueError(f"benchmark {stage.benchmark} gives no default for {field}")
        shown = f"{default.mean:g}" if isinstance(default, Lengths | Durations) else str(default)
        assumed.append(Assumed(name=field, value=shown, source=benchmark.source))
        return default

    spec = stage.sandbox or SandboxSpec()
    judging = filled("sandbox.seconds", spec.seconds, benchmark.judge_seconds)
    tasks = filled("tasks", stage.tasks, benchmark.tasks)
    changes: dict[str, object] = {"seconds": judging}
    if benchmark.profile == "swe":  # every issue has an image of its own
        changes["images"] = filled("sandbox.images", spec.images, tasks)
    sandbox = sandbox_need(spec.model_copy(update=changes), default_profile=benchmark.profile)
    return TasksNeed(
        tasks=tasks,
        samples=stage.samples,
        turns=filled("turns", stage.turns, benchmark.turns),
        prompt_tokens=filled("prompt_tokens", stage.prompt_tokens, benchmark.prompt_tokens),
        response_tokens=filled("response_tokens", stage.response_tokens, benchmark.response_tokens),
        observation_tokens=filled("observation_tokens", stage.observation_tokens, benchmark.observation_tokens),
        tool_seconds=filled("tool_seconds", stage.tool_seconds, benchmark.tool_seconds),
        sandbox=sandbox,
        assumed=(*assumed, *sandbox.assumed),
    )
