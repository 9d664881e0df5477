"""The sandbox fleet: a queue when it judges, held state when an agent lives in it, and a budget of starts.

Columns broadcast.  Symbols: N samples per unit of work, s seconds of service, c slots, g seconds of generation.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from planners.physics.columns import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Seconds of one sandbox call: a lognormal with this mean and 95th percentile, cut at the time limit."""

    mean_seconds: float
    p95_seconds: float
    limit_seconds: float

    @property
    def log_sd(self) -> float:
        """Log standard deviation from mean and p95: solves p95 = mean·exp(1.645 σ - σ²/2); 0.1 at the least.

        A p95 above mean·exp(1.645²/2) = 3.87 × mean has no lognormal; σ is then 1.645.
        """
        ratio = np.log(max(self.p95_seconds / self.mean_seconds, 1.0))
        inside = max(1.645**2 - 2.0 * ratio, 0.0)
        return max(1.645 - float(np.sqrt(inside)), 0.1)

    def quantile(self, share: Column) -> NDArray[np.float64]:
        """Seconds below which `share` of the calls end."""
        sigma = self.log_sd
        median = self.mean_seconds * np.exp(-sigma * sigma / 2.0)
        grid, z = _normal_quantiles()
        seconds = np.minimum(median * np.exp(sigma * z), self.limit_seconds)
        return np.asarray(np.interp(share, grid, seconds), dtype=np.float64)

    @property
    def squared_cv(self) -> float:
        """Squared coefficient of variation of a lognormal: exp(σ²) - 1."""
        return float(np.expm1(self.log_sd**2))


@cache
def _normal_quantiles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(shares, standard normal quantiles)."""
    shares = np.linspace(0.001, 0.9999, 400)
    return shares, np.array([NormalDist().inv_cdf(share) for share in shares.tolist()])


def slots_per_node(
    *, vcpus: Column, memory_gib: Column, cpus: float, sandbox_memory_gib: float, max_per_node: float | None
) -> NDArray[np.float64]:
    """Sandboxes that run at once on one node: the least of CPU, memory (5 % and 2 GiB kept back) and the cap.

    Memory binds before CPU for real workloads: PEERS-style density tests of agent-sandbox put 80-120 pods of 375 MB on
    8 vCPU and 30 GB (kubernetes-sigs/agent-sandbox PR #1334), which this formula gives from its memory term.
    """
    by_cpu = np.floor(np.asarray(vcpus, dtype=np.float64) / cpus)
    usable_gib = np.maximum(np.asarray(memory_gib, dtype=np.float64) * 0.95 - 2.0, 0.0)
    slots = np.minimum(by_cpu, np.floor(usable_gib / sandbox_memory_gib))
    return slots if max_per_node is None else np.minimum(slots, max_per_node)


def judge_exposed_seconds(
    *, calls: Column, service: Service, slots: Column, generate_seconds: Column, overlap_share: float
) -> NDArray[np.float64]:
    """Seconds the GPUs wait for the judges after generation has ended.

    Backlog: calls·s/c of work, of which `overlap_share` of the generation time was available while samples were
    still being written
    (0 when rewards start only after the last sample). Tail: the last samples to finish are judged last; their
    longest service is
    the (1 - 1/(m+1)) quantile with m = 2 % of the calls, at most one per slot. Compared with `simulate_judges` in
    the tests: within a third.
    """
    calls_ = np.maximum(np.asarray(calls, dtype=np.float64), 0.0)
    slots_ = np.maximum(np.asarray(slots, dtype=np.float64), 1e-9)
    work = calls_ * service.mean_seconds / slots_
    backlog = np.maximum(work - overlap_share * np.asarray(generate_seconds, dtype=np.float64), 0.0)
    last = np.maximum(np.minimum(0.02 * calls_, slots_), 1.0)
    tail = service.quantile(1.0 - 1.0 / (last + 1.0))
    return np.where(calls_ > 0, backlog + tail, 0.0)


def queue_wait_seconds(*, arrivals_per_second: Column, service: Service, slots: Column) -> NDArray[np.float64]:
    """Mean wait in a queue with several servers in steady state (infinite at or above full load).

    Allen-Cunneen with Sakasegawa's power: W = s·(Ca²+Cs²)/2 · ρ^(√(2(c+1))-1) / (c(1-ρ)), Ca² = 1 (Poisson arrivals).
    Source: Sakasegawa 1977; Allen, Probability, Statistics and Queueing Theory, 1990. Error: a few percent for c ≤
    100, more when ρ < 0.5.
    """
    slots_ = np.maximum(np.asarray(slots, dtype=np.float64), 1.0)
    load = np.asarray(arrivals_per_second, dtype=np.float64) * service.mean_seconds / slots_
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = (
            service.mean_seconds * (1.0 + service.squared_cv) / 2.0
            * np.power(np.minimum(load, 1.0), np.sqrt(2.0 * (slots_ + 1.0)) - 1.0)
            / (slots_ * (1.0 - load))
        )  # fmt: skip
    return np.where(load >= 1.0, np.inf, wait)


def start_seconds(
    *, starts: Column, nodes: Column, starts_per_second_per_node: float, seconds_per_start: float
) -> NDArray[np.float64]:
    """Seconds until `starts` fresh sandboxes are up: the start budget of the nodes, then one start.

    The budget is bound by disk sync on the node: 4.5 per second per node measured on spinning boot disks
    (kubernetes-sigs/agent-sandbox PR #1275); profiles state theirs.
    """
    rate = np.maximum(np.asarray(nodes, dtype=np.float64) * starts_per_second_per_node, 1e-9)
    starts_ = np.asarray(starts, dtype=np.float64)
    return np.where(starts_ > 0, starts_ / rate + seconds_per_start, 0.0)


def simulate_judges(
    *, finish_seconds: NDArray[np.float64], service: Service, slots: int, seed: int
) -> tuple[float, float]:
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
