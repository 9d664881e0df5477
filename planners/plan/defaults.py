"""Defaults that the plan names as assumptions: sandbox profiles, benchmarks, tool calls.  Each with its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One kind of sandbox."""

    cpus: float
    memory_gib: float
    disk_gib: float
    mean_seconds: float
    p95_seconds: float
    limit_seconds: float
    stateful: bool
    image_gib: float
    images: float
    start_seconds: float
    starts_per_second_per_node: float
    source: str


PROFILES: dict[str, Profile] = {
    "judge": Profile(
        cpus=1, memory_gib=1, disk_gib=0.1, mean_seconds=3, p95_seconds=10, limit_seconds=30, stateful=False,
        image_gib=4, images=1, start_seconds=0.1, starts_per_second_per_node=100,
        source="verl's code reward: 1,024 MiB per run (sandbox_fusion docs); seconds are an assumption",
    ),
    "swe": Profile(
        cpus=1, memory_gib=4, disk_gib=5, mean_seconds=45, p95_seconds=180, limit_seconds=1800, stateful=True,
        image_gib=5, images=500, start_seconds=2.6, starts_per_second_per_node=4.5,
        source="SWE-bench harness: 18-72 s per instance; agent-sandbox: 2.6 s per claim, 4.5 starts/s per node",
    ),
    "browser": Profile(
        cpus=2, memory_gib=4, disk_gib=2, mean_seconds=30, p95_seconds=120, limit_seconds=600, stateful=True,
        image_gib=3, images=1, start_seconds=2.6, starts_per_second_per_node=4.5,
        source="agent-sandbox density tests (Chrome workload); seconds are an assumption",
    ),
}  # fmt: skip

SECONDS_P95_RATIO = 3.0
"""p95 over mean of run times where only the mean is given.  Assumption (a log standard deviation of 0.92)."""

TOOL_SECONDS = 2.0
"""One tool call between turns where nothing is stated.  Assumption: editors and greps take well under it, test runs
more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Size of a benchmark and what one sample of it takes."""

    tasks: int
    turns: int
    prompt_tokens: float
    response_tokens: float
    observation_tokens: float
    profile: str
    source: str


BENCHMARKS: dict[str, Benchmark] = {
    "humaneval": Benchmark(
        tasks=164, turns=1, prompt_tokens=150, response_tokens=300, observation_tokens=0, profile="judge",
        source="HumanEval, arXiv:2107.03374 (164 problems); token counts are an assumption",
    ),
    "evalplus": Benchmark(
        tasks=542, turns=1, prompt_tokens=200, response_tokens=300, observation_tokens=0, profile="judge",
        source="EvalPlus, arXiv:2305.01210 (HumanEval+ 164 and MBPP+ 378); token counts are an assumption",
    ),
    "mbpp": Benchmark(
        tasks=500, turns=1, prompt_tokens=150, response_tokens=200, observation_tokens=0, profile="judge",
        source="MBPP test split, arXiv:2108.07732 (500 problems); token counts are an assumption",
    ),
    "livecodebench": Benchmark(
        tasks=880, turns=1, prompt_tokens=600, response_tokens=4000, observation_tokens=0, profile="judge",
        source="LiveCodeBench, arXiv:2403.07974 (release_v5: 880 problems); token counts are an assumption",
    ),
    "swebench-lite": Benchmark(
        tasks=300, turns=40, prompt_tokens=5000, response_tokens=300, observation_tokens=800, profile="swe",
        source="SWE-bench Lite, arXiv:2310.06770 (300 instances); turns and tokens are an assumption",
    ),
    "swebench-verified": Benchmark(
        tasks=500, turns=40, prompt_tokens=5000, response_tokens=300, observation_tokens=800, profile="swe",
        source="SWE-bench Verified (500 instances); turns and tokens are an assumption",
    ),
}  # fmt: skip
