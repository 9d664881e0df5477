"""The sandbox fleet: a queue when it judges, held state when an agent lives in it, and a budget of starts.

Columns broadcast.  Symbols: N samples per unit of work, s seconds of service, c slots, g seconds of generation.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cache, lru_cache
from math import exp, log
from statistics import NormalDist

import numpy as np

from planners.physics.columns import Array, Column

_NORMAL = NormalDist()
Z95 = _NORMAL.inv_cdf(0.95)
LATE_SHARE = 0.02
"""Of the samples, that end so late that their judging is waited for, however long generation takes: response lengths
are log-normal, and the longest 2 % end alone.  Assumption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Seconds of one sandbox call: a lognormal cut at the time limit, with this mean and 95th percentile after it."""

    mean_seconds: float
    p95_seconds: float
    limit_seconds: float

    @property
    def log_sd(self) -> float:
        """Log standard deviation with which the cut lognormal has this mean and 95th percentile; 0.1 to 1.645.

        Where none has both (a p95 below the mean, or far above 3.87 × it), the mean is kept.
        """
        low, high = 0.1, Z95
        for _ in range(40):
            middle = (low + high) / 2.0
            median = self.p95_seconds * exp(-Z95 * middle)
            low, high = (middle, high) if self._moment(median, middle, 1) > self.mean_seconds else (low, middle)
        return high

    @property
    def median_seconds(self) -> float:
        """Median with which the cut lognormal has this mean."""
        sigma = self.log_sd
        median = self.p95_seconds * exp(-Z95 * sigma)
        for _ in range(20):
            median *= self.mean_seconds / self._moment(median, sigma, 1)
        return median

    def quantile(self, share: Column) -> Array:
        """Seconds below which `share` of the calls end."""
        return np.asarray(np.interp(share, _normal_quantiles()[0], _seconds_at_quantiles(self)), dtype=np.float64)

    @property
    def squared_cv(self) -> float:
        """Squared coefficient of variation of the cut lognormal: E[s²] / E[s]² - 1."""
        sigma, median = self.log_sd, self.median_seconds
        return self._moment(median, sigma, 2) / self._moment(median, sigma, 1) ** 2 - 1.0

    def _moment(self, median: float, sigma: float, order: int) -> float:
        """E[min(s, limit)^order] of a lognormal: its part below the limit, and the limit for the rest."""
        cut = log(self.limit_seconds / median) / sigma
        below = median**order * exp((order * sigma) ** 2 / 2.0) * _NORMAL.cdf(cut - order * sigma)
        return below + self.limit_seconds**order * (1.0 - _NORMAL.cdf(cut))


@cache
def _normal_quantiles() -> tuple[Array, Array]:
    """Shares of a normal distribution below 400 standard normal quantiles from -3.1 to 3.7, and these."""
    z = np.linspace(-3.1, 3.7, 400)
    return np.array([_NORMAL.cdf(value) for value in z.tolist()]), z


@lru_cache(maxsize=64)
def _seconds_at_quantiles(service: Service) -> Array:
    """Seconds of a call at each of the normal quantiles.  A plan asks for the same service twenty times."""
    seconds = service.median_seconds * np.exp(service.log_sd * _normal_quantiles()[1])
    return np.asarray(np.minimum(seconds, service.limit_seconds), dtype=np.float64)


def slots_per_node(
    *, vcpus: Column, memory_gib: Column, cpus: float, sandbox_memory_gib: float, max_per_node: float | None
) -> Array:
    """Sandboxes that run at once on one node: the least of CPU, memory (5 % and 2 GiB kept back) and the cap.

    Memory binds before CPU for real workloads: density tests of agent-sandbox put 80-120 pods of 375 MB on
    8 vCPU and 30 GB (kubernetes-sigs/agent-sandbox PR #1334), which this formula gives from its memory term.
    """
    usable_gib = np.maximum(memory_gib * 0.95 - 2.0, 0.0)
    slots = np.asarray(np.minimum(np.floor(vcpus / cpus), np.floor(usable_gib / sandbox_memory_gib)))
    return slots if max_per_node is None else np.minimum(slots, max_per_node)


def judge_exposed_seconds(
    *, calls: Column, service: Service, slots: Column, generate_seconds: Column, overlap_share: float
) -> Array:
    """Seconds the GPUs wait for the judges after generation has ended.

    Backlog: calls·s/c of work, of which `overlap_share` of the generation time was available while samples were
    still being written (0 when rewards start only after the last sample).  Tail: the longest of the m runs that are
    under way when the last sample ends, the (1 - 1/(m+1)) quantile of the service; m = calls·s/(s + overlap·g), at
    least LATE_SHARE of the calls.  More slots never make it longer.
    Error, against `simulate_judges` over 1,080 cases (tests): median ratio 1.06; within a third of the exposed seconds
    in 90 % of them when rewards start after the last sample and in 64 % when they stream; of generation and exposed
    together 21 % off at most in nine of ten.  Worst, half of both, where the queue only just keeps up.
    """
    calls_ = np.maximum(calls, 0.0)
    work = calls_ * service.mean_seconds / np.maximum(slots, 1e-9)
    backlog = np.maximum(work - overlap_share * generate_seconds, 0.0)
    under_way = service.mean_seconds / (service.mean_seconds + overlap_share * generate_seconds)
    last = np.maximum(np.maximum(under_way, LATE_SHARE) * calls_, 1.0)
    tail = service.quantile(1.0 - 1.0 / (last + 1.0))
    return np.where(calls_ > 0, backlog + tail, 0.0)


def queue_wait_seconds(*, arrivals_per_second: Column, service: Service, slots: Column) -> Array:
    """Mean wait in a queue with several servers in steady state (infinite at or above full load).

    Allen-Cunneen with Sakasegawa's power: W = s·(Ca²+Cs²)/2 · ρ^(√(2(c+1))-1) / (c(1-ρ)), Ca² = 1 (Poisson arrivals).
    Source: Sakasegawa 1977; Allen, Probability, Statistics and Queueing Theory, 1990.  Error, against a simulation
    (tests): 15 % at 90 % load with up to 16 slots, a third with 64; too long below 70 % load, where waits are short.
    """
    slots_ = np.maximum(np.asarray(slots, dtype=np.float64), 1.0)
    load = arrivals_per_second * service.mean_seconds / slots_
    busy = np.power(np.minimum(load, 1.0), np.sqrt(2.0 * (slots_ + 1.0)) - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = service.mean_seconds * (1.0 + service.squared_cv) / 2.0 * busy / (slots_ * (1.0 - load))
    return np.where(load >= 1.0, np.inf, wait)


def start_seconds(
    *, starts: Column, nodes: Column, starts_per_second_per_node: float, seconds_per_start: float
) -> Array:
    """Seconds until `starts` fresh sandboxes are up: the start budget of the nodes, then one start.

    The budget is bound by disk sync on the node: 4.5 per second per node measured on spinning boot disks
    (kubernetes-sigs/agent-sandbox PR #1275); profiles state theirs.
    """
    rate = np.maximum(nodes * starts_per_second_per_node, 1e-9)
    return np.where(np.greater(starts, 0), starts / rate + seconds_per_start, 0.0)


def simulate_judges(*, finish_seconds: Array, service: Service, slots: int, seed: int) -> tuple[float, float]:
    """Event simulation of stateless judging: (seconds from the last sample to the last verdict, busy share of the
    slots).

    `finish_seconds`: when each sample is complete. First come, first served; ties in the order given. Same seed,
    same answer.
    """
    rng = np.random.default_rng(seed)
    draws = service.quantile(rng.random(len(finish_seconds)))
    free = [0.0] * slots
    heapq.heapify(free)
    end = 0.0
    for arrival, seconds in zip(np.sort(finish_seconds), draws, strict=True):
        done = max(float(arrival), heapq.heappop(free)) + float(seconds)
        heapq.heappush(free, done)
        end = max(end, done)
    last = float(np.max(finish_seconds)) if len(finish_seconds) else 0.0
    return max(end - last, 0.0), float(draws.sum()) / max(slots * end, 1e-9)
