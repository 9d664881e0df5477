"""What a simulated run reports of its learning: it learns, and from some step on it also learns to please its tests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from tools.simulated_day.timeline import SimulatedStep

HACKING_FROM_STEP = 190
SAMPLE_TOKENS = 3000.0


def step_metrics(done: SimulatedStep, *, samples: int, gpus: int, rng: np.random.Generator) -> dict[str, float]:
    """Metrics of one step under the names that jobs use."""
    step = done.step

    def noise(scale: float) -> float:
        return float(rng.normal(0.0, scale))

    visible = 0.31 + 0.36 * (1.0 - math.exp(-step / 130.0)) + noise(0.012)
    gap = 0.03 + 0.0016 * max(0, step - HACKING_FROM_STEP) + abs(noise(0.006))
    tokens = SAMPLE_TOKENS * (1.08 + 0.0009 * step) * (1.0 + noise(0.015))
    seconds = done.phases["generate"]
    return {
        "reward": visible * 1.02 - 0.02,
        "pass_at_1_visible": visible,
        "pass_at_1_hidden": visible - gap,
        "visible_hidden_gap": gap,
        "entropy_nats": 0.34 + 0.5 * math.exp(-step / 160.0) + noise(0.008),
        "response_tokens_mean": tokens,
        "truncated_share": 0.02 + 0.00008 * step + abs(noise(0.002)),
        "not_compiled_share": 0.04 + 0.08 * math.exp(-step / 60.0) + abs(noise(0.003)),
        "error_share": 0.002 * done.slow**1.5 + abs(noise(0.0004)),
        "time_limit_share": 0.018 * done.slow + abs(noise(0.002)),
        "tokens_per_second": tokens * samples / seconds,
        "tokens_per_second_per_gpu": tokens * samples / seconds / gpus,
        "staleness_steps": 1.0,
        "discarded_rollouts": float(rng.binomial(samples, 0.006 * done.slow)),
        "tail_seconds": seconds * (0.34 + abs(noise(0.02))),
    }
