"""Seconds per unit on layouts: more hardware is never slower, phases add up, APIs wait for their limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_world import API_ROLLOUT, EVALUATE, RLCEF, ROLLOUT, SFT, changed, spec, world

from clusterctl.catalog.lookup import find_gpu
from planners.physics.codes import ASYNC, COLOCATED, DISAGGREGATED, FSDP, MEGATRON
from planners.search.machines import MachineKind, timing_context
from planners.search.node_counts import NodeRange
from planners.search.search_space import NO_GPUS, Options, enumerate_layouts
from planners.workload.layouts import TimingContext
from planners.workload.replicas import replica_gpus
from planners.workload.stage_builder import stage_work
from planners.workload.stage_work import StageWork
from planners.workload.timing import API_LATENCY_SECONDS, API_REQUESTS_IN_FLIGHT, API_TOKENS_PER_SECOND, time_work
from planners.workload.work_columns import generation_workload, train_work

H100 = MachineKind(gpu=find_gpu("H100"), gpus_per_node=8, network_gbps=3200.0, memory_gib=2048.0, vcpus=192.0)
CONSTANTS = world().calibration.constants


def work(stage: dict[str, Any], **fields: Any) -> StageWork:
    return stage_work(spec(changed(stage, **fields)).stages[0], world().find_model)


def on(nodes: int, **options: Any) -> TimingContext:
    wanted = {"trains": True, "generates": True, "replicas": (1,), "tps": (1,), "pps": (1,)} | options
    lay = enumerate_layouts([H100], Options(**wanted), NodeRange(max_gpus=10**6, min_nodes=nodes, max_nodes=nodes))
    return timing_context([H100], lay, CONSTANTS, year=2026.0, grid_points=33)


def seconds(asked: StageWork, at: TimingContext) -> float:
    return float(np.asarray(time_work(asked, at).unit_seconds(0.0)).reshape(-1)[0])


@pytest.mark.parametrize("stage", [RLCEF, SFT, EVALUATE, ROLLOUT], ids=lambda stage: stage["kind"])
def test_more_nodes_are_never_slower(stage: dict[str, Any]) -> None:
    times = [seconds(work(stage), on(nodes)) for nodes in (1, 2, 4, 8)]
    assert times == sorted(times, reverse=True)


def test_a_colocated_step_is_its_phases() -> None:
    timing = time_work(work(RLCEF), on(2))
    total = timing.generate + timing.judging + timing.trainer + timing.sync
    assert float(timing.unit_seconds(0.0)[0]) == pytest.approx(float(np.asarray(total)[0]))
    assert float(timing.unit_seconds(7.0)[0]) == pytest.approx(float(np.asarray(total)[0]) + 7.0)


def test_a_split_step_takes_at_least_what_each_pool_needs_and_staleness_helps() -> None:
    def at(schedule: float, stale: int) -> tuple[float, float]:
        kind = {DISAGGREGATED: "disaggregated", ASYNC: "async"}[schedule]
        asked = work(RLCEF, schedule=kind, staleness_steps=stale)
        timing = time_work(asked, on(4, schedules=(schedule,), rollout_shares=(0.5,)))
        alone = max(float(np.asarray(timing.generate)[0]), float(np.asarray(timing.trainer)[0]))
        unit = float(timing.unit_seconds(0.0)[0])
        assert unit >= alone + float(np.asarray(timing.sync)[0])
        return unit, float(np.asarray(timing.generate)[0])

    lockstep, one, four = at(DISAGGREGATED, 0), at(ASYNC, 1), at(ASYNC, 4)
    assert four[1] <= one[1] <= lockstep[1], "staleness hides the longest samples"
    assert four[0] <= one[0] <= lockstep[0] * (1 + 1e-9)


def test_judges_and_critics_cost_time_beside_the_rollout() -> None:
    judge = {"model": "Qwen/Qwen2.5-7B-Instruct", "prompt_tokens": 1500, "response_tokens": 50}
    critic = {"model": "Qwen/Qwen2.5-7B-Instruct", "replaced_share": 0.5}
    plain = time_work(work(RLCEF), on(2))
    for added in ({"judges": [judge]}, {"outcome_critic": critic}):
        more = time_work(work(RLCEF, **added), on(2))
        assert float(np.asarray(more.judging)[0]) > float(np.asarray(plain.judging)[0]) == 0.0
        assert float(np.asarray(more.generate)[0]) == pytest.approx(float(np.asarray(plain.generate)[0]))


# ---- APIs


def api_seconds(**fields: Any) -> float:
    at = timing_context([], NO_GPUS, CONSTANTS, year=2026.0, grid_points=2)
    slots = fields.pop("slots", float("nan"))
    at = TimingContext(
        constants=CONSTANTS, gpu=at.gpu, layouts=at.layouts, gpus_per_node=at.gpus_per_node, year=2026.0, slots=slots
    )
    return float(np.asarray(time_work(work(API_ROLLOUT, **fields), at).unit_seconds(0.0)).reshape(-1)[0])


def test_api_calls_take_waves_of_what_the_account_allows() -> None:
    one = 30 * 300 / API_TOKENS_PER_SECOND + 30 * (API_LATENCY_SECONDS + 2.0)
    assert api_seconds(tool_seconds=2.0) == pytest.approx(200 / API_REQUESTS_IN_FLIGHT * one)
    account = {"name": "acme-coder-1", "requests_in_flight": 20, "output_tokens_per_second": 30}
    slow = 30 * 300 / 30 + 30 * (API_LATENCY_SECONDS + 2.0)
    assert api_seconds(tool_seconds=2.0, api=account) == pytest.approx(10 * slow)
    assert api_seconds(tool_seconds=2.0, concurrency=10) == pytest.approx(20 * one)
    assert api_seconds(tool_seconds=2.0, slots=5.0) == pytest.approx(40 * one), "each holds a sandbox"
    assert api_seconds(tool_seconds=2.0, concurrency=10**6, api=account) == pytest.approx(10 * slow)


def test_tokens_per_minute_bind_where_they_are_few() -> None:
    asked = work(API_ROLLOUT, api={"name": "acme-coder-1", "tokens_per_minute": 1000})
    use = asked.apis[0]
    assert api_seconds(api={"name": "acme-coder-1", "tokens_per_minute": 1000}) == pytest.approx(
        (use.input_tokens + use.output_tokens) / 1000 * 60
    )


# ---- columns of work


def test_replicas_grow_until_the_weights_fill_no_more_than_the_share() -> None:
    at = on(2, replicas=(1, 2, 4, 8))
    small = replica_gpus(at, work(EVALUATE).generations[0])
    large = replica_gpus(at, work(EVALUATE, model="meta-llama/Llama-3.1-70B").generations[0])
    assert small.tolist() == np.minimum(at.layouts.replica, 4).tolist(), "28 heads: tensor parallelism ends at 4"
    assert (large >= 4).all()
    fixed = replica_gpus(at, work(EVALUATE, rollout={"tp": 2}).generations[0])
    assert set(fixed.tolist()) == {2.0}


def test_concurrency_is_shared_by_the_replicas() -> None:
    at = on(2)
    for job, each in ((work(ROLLOUT, concurrency=64), 4), (work(EVALUATE, rollout={"concurrency": 7}), 7)):
        columns = generation_workload(job, job.generations[0], at).rollout
        assert (np.asarray(columns.max_live_sequences) == each).all()


def test_training_pads_only_short_unpacked_rollouts() -> None:
    at = on(1, shardings=(FSDP, MEGATRON))
    short = work(RLCEF, max_response_tokens=2000)
    assert short.training is not None
    packed = np.asarray(train_work(short.training, at, short.generations[0]).packed)
    assert packed.tolist() == np.where(at.layouts.sharding == FSDP, 0.0, 1.0).tolist()
    stated = work(RLCEF, max_response_tokens=2000, train={"packing": True})
    assert stated.training is not None
    assert (np.asarray(train_work(stated.training, at, stated.generations[0]).packed) == 1.0).all()
    assert (at.layouts.schedule == COLOCATED).all()
