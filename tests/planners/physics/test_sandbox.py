"""The sandbox fleet: run times, the judges' tail against an event simulation, queues, starts, density."""

from __future__ import annotations

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.physics.sandbox_times import (
    Service,
    judge_exposed_seconds,
    queue_wait_seconds,
    simulate_judges,
    slots_per_node,
    start_seconds,
)

JUDGE = Service(mean_seconds=3.0, p95_seconds=10.0, limit_seconds=30.0)
EVEN = (np.arange(20_000) + 0.5) / 20_000
SERVICES = [
    Service(mean_seconds=mean, p95_seconds=p95, limit_seconds=limit)
    for mean, p95, limit in ((3, 10, 30), (4, 20, 30), (1, 1.5, 10), (90, 600, 1800), (0.5, 5, 30), (6, 25, 60))
]


# ---- run times


@pytest.mark.parametrize("service", SERVICES, ids=lambda s: f"{s.mean_seconds}-{s.p95_seconds}")
def test_run_times_have_the_stated_mean_and_95th_percentile(service: Service) -> None:
    assert service.quantile(EVEN).mean() == pytest.approx(service.mean_seconds, rel=0.01)
    if service.p95_seconds < 3.87 * service.mean_seconds or service.limit_seconds < 10 * service.mean_seconds:
        assert float(service.quantile(0.95)) == pytest.approx(service.p95_seconds, rel=0.01)


@given(
    mean=st.floats(0.01, 500),
    ratio=st.floats(1.0, 30.0),
    room=st.floats(1.0, 100.0),
    share=st.floats(0.0, 1.0),
    more=st.floats(0.0, 1.0),
)
def test_run_times_rise_with_the_share_and_end_at_the_limit(
    mean: float, ratio: float, room: float, share: float, more: float
) -> None:
    limit = mean * ratio * room
    service = Service(mean_seconds=mean, p95_seconds=mean * ratio, limit_seconds=limit)
    assert 0 < float(service.quantile(share)) <= float(service.quantile(max(share, more))) <= limit * (1 + 1e-12)
    assert 0.1 <= service.log_sd <= 1.65
    assert service.squared_cv >= 0


def test_the_mean_is_kept_where_no_lognormal_has_both() -> None:
    stretched = Service(mean_seconds=1.0, p95_seconds=20.0, limit_seconds=1e9)
    assert stretched.quantile(np.linspace(0.001, 0.9999, 200_000)).mean() == pytest.approx(1.0, rel=0.05)
    flat = Service(mean_seconds=5.0, p95_seconds=5.0, limit_seconds=50.0)
    assert flat.quantile(EVEN).mean() == pytest.approx(5.0, rel=0.01)
    assert float(flat.quantile(0.95)) == pytest.approx(5.0, rel=0.2), "the narrowest spread is 0.1"


# ---- judging after generation


def simulated(service: Service, calls: int, slots: int, seconds: float, pattern: str) -> float:
    rng = np.random.default_rng(1)
    if pattern == "after the last":
        finish = np.full(calls, seconds)
    elif pattern == "evenly":
        finish = np.linspace(0.0, seconds, calls)
    else:
        lengths = rng.lognormal(0.0, 0.8, calls)
        finish = np.minimum(lengths / np.quantile(lengths, 0.995), 1.0) * seconds
    ends = [simulate_judges(finish_seconds=finish, service=service, slots=slots, seed=seed)[0] for seed in (0, 1)]
    return float(np.mean(ends))


@pytest.mark.parametrize(
    ("pattern", "overlap", "within_third", "off"),
    [("after the last", 0.0, 0.88, 0.18), ("evenly", 0.8, 0.63, 0.22), ("by length", 0.8, 0.61, 0.22)],
)
def test_the_wait_for_the_judges_is_near_an_event_simulation(
    pattern: str, overlap: float, within_third: float, off: float
) -> None:
    ratios, offs = [], []
    for service, calls, slots, seconds in itertools.product(
        SERVICES, (64, 512, 2048), (1, 8, 32, 128, 1024), (10.0, 60.0, 300.0, 1000.0)
    ):
        published = simulated(service, calls, slots, seconds, pattern)
        formula = float(
            judge_exposed_seconds(
                calls=calls, service=service, slots=slots, generate_seconds=seconds, overlap_share=overlap
            )
        )
        ratios.append(formula / max(published, 1e-9))
        offs.append(abs(formula - published) / (seconds + published))
    ratio = np.array(ratios)
    assert np.mean((ratio > 2 / 3) & (ratio < 4 / 3)) > within_third
    assert np.median(ratio) == pytest.approx(1.0, abs=0.1)
    assert np.quantile(offs, 0.9) < off, "of generation and judging together"
    assert max(offs) < 0.55


@given(
    calls=st.floats(0, 1e5),
    slots=st.floats(1, 1e5),
    more=st.floats(1, 100),
    seconds=st.floats(0, 1e4),
    longer=st.floats(1, 10),
    overlap=st.floats(0, 1),
)
def test_waiting_never_grows_with_slots_overlap_or_generation_beyond_the_tail(
    calls: float, slots: float, more: float, seconds: float, longer: float, overlap: float
) -> None:
    def wait(calls: float, slots: float, seconds: float, overlap: float) -> float:
        return float(
            judge_exposed_seconds(
                calls=calls, service=JUDGE, slots=slots, generate_seconds=seconds, overlap_share=overlap
            )
        )

    now = wait(calls, slots, seconds, overlap)
    assert 0 <= now < np.inf
    assert wait(calls, slots, seconds * longer, overlap) <= now + 1e-9
    assert wait(calls, slots, seconds, 0.0) >= now - 1e-9
    assert wait(2 * calls, slots, seconds, overlap) >= now - 1e-9
    assert wait(calls, slots * more, seconds, overlap) <= now + 1e-9
    assert wait(0, slots, seconds, overlap) == 0


def test_a_simulation_is_repeatable_and_busy_shares_are_shares() -> None:
    finish = np.linspace(0, 60, 500)
    first = simulate_judges(finish_seconds=finish, service=JUDGE, slots=16, seed=7)
    assert first == simulate_judges(finish_seconds=finish[::-1].copy(), service=JUDGE, slots=16, seed=7)
    assert first != simulate_judges(finish_seconds=finish, service=JUDGE, slots=16, seed=8)
    assert 0 < first[1] <= 1
    assert simulate_judges(finish_seconds=np.empty(0), service=JUDGE, slots=4, seed=1) == (0.0, 0.0)


# ---- the queue in steady state


def waited(rate: float, service: Service, slots: int) -> float:
    """Mean wait of Poisson arrivals in a first-come-first-served queue, the first fifth left out."""
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(1.0 / rate, 200_000))
    seconds = service.quantile(rng.random(len(arrivals)))
    free = [0.0] * slots
    waits = []
    for arrival, taken in zip(arrivals.tolist(), seconds.tolist(), strict=True):
        start = max(arrival, heapq.heappop(free))
        heapq.heappush(free, start + taken)
        waits.append(start - arrival)
    return float(np.mean(waits[len(waits) // 5 :]))


@pytest.mark.parametrize(("slots", "error"), [(1, 0.15), (4, 0.15), (16, 0.15), (64, 0.35)])
@pytest.mark.parametrize("service", SERVICES[:3], ids=lambda s: f"{s.mean_seconds}-{s.p95_seconds}")
def test_the_wait_in_a_queue_is_near_a_simulation_at_90_percent_load(
    service: Service, slots: int, error: float
) -> None:
    rate = 0.9 * slots / service.mean_seconds
    formula = float(queue_wait_seconds(arrivals_per_second=rate, service=service, slots=slots))
    assert formula == pytest.approx(waited(rate, service, slots), rel=error)


@given(slots=st.integers(1, 2000), load=st.floats(0.01, 0.98), more=st.floats(1.0, 1.02))
def test_waits_grow_with_the_load_and_are_endless_at_full_load(slots: int, load: float, more: float) -> None:
    full = slots / JUDGE.mean_seconds
    now, then, over = (
        float(queue_wait_seconds(arrivals_per_second=full * share, service=JUDGE, slots=slots))
        for share in (load, load * more, 1.0)
    )
    assert 0 <= now <= then < np.inf
    assert over == np.inf


# ---- starts and density


@given(starts=st.floats(1, 1e6), nodes=st.floats(1, 1e4), rate=st.floats(0.01, 1e3), each=st.floats(0, 100))
def test_the_start_budget_is_starts_over_what_the_nodes_sustain(
    starts: float, nodes: float, rate: float, each: float
) -> None:
    def up(starts: float, nodes: float) -> float:
        return float(start_seconds(starts=starts, nodes=nodes, starts_per_second_per_node=rate, seconds_per_start=each))

    assert up(starts, nodes) == pytest.approx(starts / (nodes * rate) + each)
    assert up(starts, 2 * nodes) <= up(starts, nodes) <= up(2 * starts, nodes)
    assert up(0, nodes) == 0


def test_density_is_the_least_of_cpu_memory_and_the_cap() -> None:
    node = {"vcpus": 96.0, "memory_gib": 192.0}
    assert slots_per_node(**node, cpus=1, sandbox_memory_gib=1, max_per_node=None) == 96
    assert slots_per_node(**node, cpus=1, sandbox_memory_gib=4, max_per_node=None) == 45, "5 % and 2 GiB kept back"
    assert slots_per_node(**node, cpus=0.25, sandbox_memory_gib=0.25, max_per_node=110) == 110
    assert slots_per_node(vcpus=2.0, memory_gib=2.0, cpus=1, sandbox_memory_gib=1, max_per_node=None) == 0
    published = slots_per_node(vcpus=8.0, memory_gib=30.0, cpus=0.05, sandbox_memory_gib=0.366, max_per_node=None)
    assert 60 <= published <= 120, "80-120 pods of 375 MB on 8 vCPU and 30 GB (agent-sandbox PR #1334)"
