"""Generation: waves, tail, tools, capacity."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workloads import PRIOR, changed, rl_workload

from planners.physics.columns import Workload
from planners.physics.decode import decode_costs, kv_bytes_per_token, live_capacity
from planners.physics.generate import generate


def makespan(w: Workload) -> float:
    return float(generate(PRIOR, w).makespan_seconds)


@given(st.sampled_from([64.0, 512.0, 4096.0, 20_000.0]))
def test_more_samples_take_longer_but_less_than_in_proportion(samples: float) -> None:
    w = changed(rl_workload(), "rollout", samples=samples)
    more = changed(w, "rollout", samples=2 * samples)
    assert makespan(w) < makespan(more) < 2.05 * makespan(w)


@given(factor=st.floats(1.1, 4))
def test_more_bandwidth_is_never_slower(factor: float) -> None:
    w = rl_workload()
    assert makespan(changed(w, "gpu", hbm_bytes_per_s=w.gpu.hbm_bytes_per_s * factor)) < makespan(w)


@given(log_sd=st.floats(0.1, 1.2))
def test_a_wider_spread_of_lengths_makes_a_longer_tail(log_sd: float) -> None:
    narrow = generate(PRIOR, changed(rl_workload(), "rollout", response_log_sd=log_sd))
    wide = generate(PRIOR, changed(rl_workload(), "rollout", response_log_sd=log_sd + 0.3))
    assert wide.makespan_seconds > narrow.makespan_seconds


def test_equal_lengths_leave_nearly_no_tail() -> None:
    made = generate(PRIOR, changed(rl_workload(), "rollout", fixed_length=1.0))
    assert float(made.tail_seconds) < 0.15 * float(made.makespan_seconds)
    spread = generate(PRIOR, changed(rl_workload(), "rollout", response_log_sd=1.0))
    assert float(spread.tail_seconds) > 0.3 * float(spread.makespan_seconds)


@given(turns=st.integers(2, 60), seconds=st.floats(0.1, 60))
def test_tools_lengthen_the_step_and_are_named(turns: int, seconds: float) -> None:
    w = rl_workload()
    tools = changed(w, "rollout", turns=float(turns), tool_seconds_per_turn=seconds)
    made = generate(PRIOR, tools)
    assert made.makespan_seconds > makespan(w)
    assert float(made.makespan_seconds) > (turns - 1) * seconds
    assert 0 < float(made.tool_share) < 1
    assert float(made.parts["waiting for tools"]) > 0


def test_trajectories_in_tools_do_not_decode() -> None:
    """With long tool calls the GPU runs nearly empty iterations: time per token approaches a lone sequence."""
    w = changed(rl_workload(), "rollout", turns=50.0, tool_seconds_per_turn=100.0)
    made = generate(PRIOR, w)
    waiting = 49 * 100.0
    assert waiting < float(made.makespan_seconds) < 6 * waiting
    assert float(made.tool_share) > 0.9


def test_evicted_context_is_prefilled_again() -> None:
    w = changed(rl_workload(), "rollout", turns=20.0, tool_tokens_per_turn=500.0)
    kept = generate(PRIOR, changed(w, "rollout", prefix_cache_hit=1.0))
    lost = generate(PRIOR, changed(w, "rollout", prefix_cache_hit=0.0))
    assert float(lost.prefill_seconds) > 3 * float(kept.prefill_seconds)


def test_parts_add_up_to_the_makespan() -> None:
    for tool_seconds in (0.0, 5.0):
        w = changed(rl_workload(), "rollout", turns=4.0, tool_seconds_per_turn=tool_seconds)
        made = generate(PRIOR, w)
        assert sum(map(float, made.parts.values())) == pytest.approx(float(made.makespan_seconds), rel=1e-6)


def test_fewer_grid_points_are_close() -> None:
    samples = np.geomspace(32, 20_000, 40)
    w = changed(rl_workload(), "rollout", samples=samples)
    fine, coarse = generate(PRIOR, w).makespan_seconds, generate(PRIOR, w, grid_points=9).makespan_seconds
    assert np.max(np.abs(np.log(coarse / fine))) < 0.05


def test_staleness_keeps_the_engine_full() -> None:
    made = generate(PRIOR, changed(rl_workload(), "rollout", staleness_steps=4.0))
    assert made.throughput_seconds < made.makespan_seconds


def test_tensor_parallelism_beyond_the_heads_copies_the_cache() -> None:
    w = rl_workload()
    per_gpu = [kv_bytes_per_token(changed(w, "layout", rollout_gpus_per_replica=r)) for r in (1.0, 4.0, 8.0)]
    assert per_gpu[0] == per_gpu[1] == per_gpu[2] / 2


def test_capacity_falls_with_context_and_weights() -> None:
    w = rl_workload()
    assert live_capacity(w, 2000.0) > live_capacity(w, 20_000.0) >= 1
    big = rl_workload("Qwen/Qwen2.5-32B")
    assert live_capacity(big, 20_000.0) < live_capacity(w, 20_000.0)


def test_a_mixture_touches_more_experts_with_more_sequences() -> None:
    costs = decode_costs(PRIOR, rl_workload("Qwen/Qwen3-30B-A3B"))
    one, many = (float(costs.parts(n, 1000.0)["HBM bandwidth, weights"]) for n in (1.0, 256.0))
    assert many > 3 * one
