"""Does it fit: what grows and shrinks with layout and batch, and the published sizes of optimizer states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workloads import changed, rl_workload

from clusterctl.catalog import find_model
from planners.physics.columns import ASYNC, FSDP, MEGATRON, ZERO1, Layout, RolloutWork, TrainWork
from planners.physics.memory import (
    CONTEXT_BYTES,
    MIN_LIVE_SEQUENCES,
    USABLE_SHARE,
    Need,
    host_need_bytes,
    rollout_need,
    train_need,
)
from planners.physics.shape import model_columns
from planners.units import GIB

MODELS = ["Qwen/Qwen2.5-7B", "Qwen/Qwen3-30B-A3B", "deepseek-ai/DeepSeek-V3"]
LAYOUT = {
    "tp": st.sampled_from([1, 2, 8]),
    "pp": st.sampled_from([1, 4]),
    "cp": st.sampled_from([1, 2]),
    "dp": st.sampled_from([1, 2, 8, 64]),
}


def train(
    model: str = MODELS[0],
    *,
    tokens: float = 8192.0,
    sharding: float = MEGATRON,
    recompute: float = 1.0,
    lora: float = 0.0,
    offload: float = 0.0,
    tp: int = 1,
    pp: int = 1,
    cp: int = 1,
    dp: int = 8,
    ep: int = 1,
) -> Need:
    gpus = float(tp * pp * cp * dp)
    layout = Layout(
        gpus=gpus,
        train_gpus=gpus,
        rollout_gpus=gpus,
        tp=float(tp),
        pp=float(pp),
        cp=float(cp),
        dp=float(dp),
        ep=float(ep),
        sharding=sharding,
    )
    work = TrainWork(seq_len=4096.0, recompute=recompute, lora=lora)
    step = replace(rl_workload(model), layout=layout, train=work)
    return train_need(step, micro_batch_tokens=tokens, offload=offload)


def total(need: Need) -> float:
    return float(need.total_bytes)


@given(
    model=st.sampled_from(MODELS),
    sharding=st.sampled_from([MEGATRON, FSDP, ZERO1]),
    tokens=st.floats(1, 1e6),
    more=st.floats(1, 8),
    recompute=st.sampled_from([0.0, 0.1, 1.0]),
    **LAYOUT,
)
def test_a_bigger_micro_batch_never_needs_less(
    model: str, sharding: float, tokens: float, more: float, recompute: float, tp: int, pp: int, cp: int, dp: int
) -> None:
    fixed = {"sharding": sharding, "recompute": recompute, "tp": tp, "pp": pp, "cp": cp, "dp": dp}
    assert total(train(model, tokens=tokens * more, **fixed)) >= total(train(model, tokens=tokens, **fixed))


@given(
    model=st.sampled_from(MODELS),
    sharding=st.sampled_from([MEGATRON, FSDP, ZERO1]),
    tokens=st.floats(1, 1e5),
    axis=st.sampled_from(["tp", "dp", "cp"]),
    ep=st.sampled_from([1, 4]),
    **LAYOUT,
)
def test_more_ranks_never_need_more(
    model: str, sharding: float, tokens: float, axis: str, ep: int, tp: int, pp: int, cp: int, dp: int
) -> None:
    degrees = {"tp": tp, "pp": pp, "cp": cp, "dp": dp, "ep": ep}
    more = degrees | {axis: 2 * degrees[axis]}
    now, then = (train(model, tokens=tokens, sharding=sharding, **each) for each in (degrees, more))
    assert total(then) <= total(now) * (1 + 1e-12)


@given(model=st.sampled_from(MODELS), sharding=st.sampled_from([MEGATRON, FSDP, ZERO1]), **LAYOUT)
def test_recomputation_lora_and_offload_never_need_more(
    model: str, sharding: float, tp: int, pp: int, cp: int, dp: int
) -> None:
    fixed = {"sharding": sharding, "tp": tp, "pp": pp, "cp": cp, "dp": dp}
    plain = total(train(model, recompute=0.0, **fixed))
    for lighter in ({"recompute": 1.0}, {"lora": 1.0, "recompute": 0.0}, {"offload": 1.0, "recompute": 0.0}):
        assert total(train(model, **(fixed | lighter))) <= plain


def test_mixed_precision_adam_is_16_or_18_bytes_a_parameter() -> None:
    model = find_model(MODELS[0])
    for sharding, each in ((FSDP, 16.0), (ZERO1, 16.0), (MEGATRON, 18.0)):
        parts = train(sharding=sharding, dp=1).parts
        states = sum(float(parts[name]) for name in ("gradients", "optimizer")) + 2.0 * model.params_total
        assert states == pytest.approx(each * model.params_total)
    eight = train(sharding=FSDP, dp=8).parts
    assert float(eight["optimizer"]) == pytest.approx(12.0 * model.params_total / 8)
    assert float(eight["gradients"]) == pytest.approx(2.0 * model.params_total / 8)


def test_experts_are_split_over_expert_ranks() -> None:
    moe = model_columns(find_model("deepseek-ai/DeepSeek-V3"))
    one, sixteen = train(MODELS[2], dp=64, tp=1), train(MODELS[2], dp=64, tp=1, ep=16)
    saved = float(one.parts["weights"] - sixteen.parts["weights"])
    assert saved == pytest.approx(2.0 * float(np.asarray(moe.params_expert)) * 15 / 16)
    dense, same = train(MODELS[0], dp=64), train(MODELS[0], dp=64, ep=16)
    assert total(dense) == total(same)


def test_a_7b_model_trains_on_eight_gpus_and_not_on_one() -> None:
    assert bool(train(sharding=FSDP, dp=8).fits)
    assert not bool(train(sharding=FSDP, dp=1).fits)
    need = train(sharding=FSDP, dp=8)
    assert float(need.available_bytes) == pytest.approx(USABLE_SHARE * 80 * GIB, rel=0.02)
    assert float(need.parts["context"]) == CONTEXT_BYTES


# ---- rollout


def rollout(
    model: str = MODELS[0], *, replica: float = 1.0, longest: float = 8192.0, alone: float = 0.0, **work: float
) -> Need:
    layout = Layout(
        gpus=16.0,
        train_gpus=16.0,
        rollout_gpus=16.0,
        dp=16.0,
        rollout_gpus_per_replica=replica,
        rollout_attention_dp=alone,
    )
    columns = RolloutWork(samples=64.0, prompt_tokens=512.0, max_response_tokens=longest, **work)
    return rollout_need(replace(rl_workload(model), layout=layout, rollout=columns))


@given(model=st.sampled_from(MODELS), longest=st.floats(1, 1e6), replica=st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0]))
def test_longer_answers_need_more_and_larger_replicas_less(model: str, longest: float, replica: float) -> None:
    need = total(rollout(model, replica=replica, longest=longest))
    assert total(rollout(model, replica=replica, longest=2 * longest)) > need
    assert total(rollout(model, replica=2 * replica, longest=longest)) <= need
    assert total(rollout(model, replica=replica, longest=longest, weight_bytes=1.0)) < need


def test_a_replica_holds_its_weights_and_a_few_whole_sequences() -> None:
    model = find_model(MODELS[0])
    need = rollout(replica=2.0, longest=8192.0 - 512.0)
    assert float(need.parts["weights"]) == pytest.approx(2.0 * model.params_total / 2)
    assert model.layers
    assert model.kv_heads
    assert model.head_dim
    per_token = 2 * 2 * model.layers * model.kv_heads * model.head_dim
    assert float(need.parts["KV cache"]) == pytest.approx(MIN_LIVE_SEQUENCES * 8192 * per_token / 2)
    assert float(need.available_bytes) == pytest.approx(0.9 * 80 * GIB, rel=0.02)


def test_latent_attention_repeats_its_cache_on_every_rank_unless_attention_runs_alone() -> None:
    one, eight = rollout(MODELS[2], replica=8.0), rollout(MODELS[2], replica=16.0)
    assert float(one.parts["KV cache"]) == pytest.approx(float(eight.parts["KV cache"]))
    alone = rollout(MODELS[2], replica=16.0, alone=1.0)
    assert float(alone.parts["KV cache"]) < float(eight.parts["KV cache"])
    assert float(alone.parts["weights"]) > float(eight.parts["weights"])


# ---- host


def test_colocated_runs_move_their_states_into_host_memory() -> None:
    work = rl_workload()
    params = find_model("Qwen/Qwen2.5-7B").params_total
    moved, apart = host_need_bytes(work), host_need_bytes(changed(work, "rollout", schedule=ASYNC))
    assert float(moved) == pytest.approx(16 * params * 8 / 16 + 2 * params)
    assert float(apart) == pytest.approx(2 * params)
