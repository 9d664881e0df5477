"""What runs report, with a known truth: healthy ones of many kinds, one that hacks its reward, one that collapses."""

from __future__ import annotations

import numpy as np

from planners.alerts.check import Report
from planners.alerts.measures import Sample


def healthy(seed: int, steps: int, *, of: int | None = None) -> list[Report]:
    """A run that learns: 64 to 1,024 samples a step, noise that lasts, weak tests that fail up to 20 % of what passes
    them, entropy that falls to a sixth at the lowest, responses that grow with the reward."""
    rng = np.random.default_rng(seed)
    samples, lasts = int(rng.choice([64, 256, 1024])), rng.uniform(0.0, 0.5)
    begin = rng.uniform(0.05, 0.4)
    end, weak = begin + rng.uniform(0.05, 0.5), rng.uniform(0.0, 0.2)
    entropy, left = rng.uniform(0.3, 1.2), rng.uniform(0.15, 0.6)
    tokens, growth = rng.uniform(300, 4000), rng.uniform(0.8, 1.9)
    limits, seconds, drift = rng.uniform(0, 0.06), rng.uniform(2, 60), rng.normal(0, 0.1)
    speed, wander, reports = rng.uniform(0.1, 0.6) * steps, 0.0, []
    for step in range(1, steps + 1):
        wander = lasts * wander + rng.normal(0, 0.02)
        learned = 1.0 - np.exp(-step / speed)
        passes = rng.binomial(samples, np.clip(begin + (end - begin) * learned + wander, 0.01, 0.99))
        metrics: dict[str, float | None] = {
            "reward": passes / samples,
            "pass_at_1_visible": passes / samples,
            "pass_at_1_hidden": rng.binomial(passes, 1.0 - weak) / samples,
            "entropy_nats": entropy * (left + (1.0 - left) * (1.0 - learned)) * np.exp(rng.normal(0, 0.05)),
            "response_tokens_mean": tokens * (1.0 + (growth - 1.0) * learned) * np.exp(rng.normal(0, 0.04)),
            "time_limit_share": rng.binomial(samples, limits) / samples,
        }
        phases = {"sandbox": seconds * float(np.exp(rng.normal(0, 0.15) + drift * step / steps))}
        reports.append(Report("rlcef", step, of or steps, metrics, phases))
    return reports


def changed(reports: list[Report], since: int, **factors: float) -> list[Report]:
    """The same run, whose metrics (and `sandbox`, seconds) move evenly from `since` on until they are `factors` times
    as large at the end."""
    out = []
    for report in reports:
        share = max(report.step - since, 0) / (reports[-1].step - since)
        times = {name: float(factor**share) for name, factor in factors.items()}
        metrics = {n: None if v is None else v * times.get(n, 1.0) for n, v in report.metrics.items()}
        phases = {n: v * times.get(n, 1.0) for n, v in report.phases.items()}
        out.append(report._replace(metrics=metrics, phases=phases))
    return out


def texts(seed: int, steps: int, *, collapses_from: int | None = None, each: int = 8) -> list[Sample]:
    """Programs of 30 tokens for as many problems; from `collapses_from` on more and more of them are one program."""
    rng = np.random.default_rng(seed)
    words = [f"w{number}" for number in range(300)]
    one = " ".join(rng.choice(words, 30))
    out = []
    for step in range(1, steps + 1):
        late = 0.0 if collapses_from is None else max(step - collapses_from, 0) / (steps - collapses_from)
        for problem in range(each):
            text = one if rng.random() < late else " ".join(rng.choice(words, 30))
            out.append(Sample(step, text, f"p{problem}"))
    return out
