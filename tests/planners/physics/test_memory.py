"""Does it fit: what grows and shrinks with layout and batch, and the published sizes of optimizer states."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workloads import changed, rl_workload

from clusterctl.catalog import find_model
from clusterctl.catalog.lookup import load_gpus, load_models
from planners.physics.codes import ASYNC, DDP, FSDP, MEGATRON, ZERO1, ZERO2
from planners.physics.columns import Layout, RolloutWork, TrainWork, Workload
from planners.physics.decode import live_capacity
from planners.physics.memory import (
    CONTEXT_BYTES,
    FEW_SEQUENCES,
    Need,
    host_need_bytes,
    longest_sequence_bytes,
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
    work = TrainWork(seq_len=4096.0, recompute=recompute, lora=lora, offload=offload)
    step = replace(rl_workload(model), layout=layout, train=work)
    return train_need(step, micro_batch_tokens=tokens)


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


def test_data_parallel_ranks_share_what_their_sharding_says() -> None:
    params = find_model(MODELS[0]).params_total
    shared = {
        DDP: ("weights", 1, "gradients", 1, "optimizer", 1),
        ZERO1: ("weights", 1, "gradients", 1, "optimizer", 8),
        ZERO2: ("weights", 1, "gradients", 8, "optimizer", 8),
        FSDP: ("weights", 8, "gradients", 8, "optimizer", 8),
    }
    for sharding, row in shared.items():
        parts = train(sharding=sharding, dp=8).parts
        for name, ranks, each in zip(row[::2], row[1::2], (2.0, 2.0, 12.0), strict=True):
            assert float(parts[str(name)]) == pytest.approx(each * params / float(ranks))


@pytest.mark.parametrize("sharding", [MEGATRON, FSDP, ZERO1, ZERO2, DDP])
def test_no_model_and_layout_goes_below_the_bytes_of_its_states(sharding: float) -> None:
    """Weights 2, gradients 2 (Megatron 4) and Adam 12 bytes per parameter, however they are split (arXiv:1910.02054)."""
    grid = np.meshgrid([1, 2, 4, 8], [1, 2, 4, 8, 16], [1, 2, 4], [1, 2, 8, 16, 64], [1, 2, 8, 64, 512], indexing="ij")
    tp, pp, cp, dp, ep = (axis.ravel().astype(float) for axis in grid)
    gpus = tp * pp * cp * dp
    layout = Layout(gpus=gpus, train_gpus=gpus, rollout_gpus=gpus, tp=tp, pp=pp, cp=cp, dp=dp, ep=ep, sharding=sharding)
    each = 18.0 if sharding == MEGATRON else 16.0
    for name, model in load_models().items():
        work = replace(rl_workload(name), layout=layout, train=TrainWork(seq_len=4096.0))
        parts = train_need(work, micro_batch_tokens=1.0).parts
        held = parts["weights"] + parts["gradients"] + parts["optimizer"]
        assert (held >= each * model.params_total / gpus * (1 - 1e-9)).all(), name


def test_memory_of_every_gpu_is_what_its_driver_reports() -> None:
    """Total memory in nvidia-smi, MiB."""
    reported = {
        "A100-40": 40960,
        "A100-80": 81920,
        "H100": 81559,
        "H100-NVL": 95830,
        "H200": 143771,
        "H20": 97871,
        "B200": 183359,
        "B300": 275040,
        "GB200": 189471,
        "L40S": 46068,
        "L4": 23034,
        "A10G": 23028,
    }
    gpus = load_gpus()
    for name, mib in reported.items():
        assert gpus[name].hbm_gib == pytest.approx(mib / 1024, abs=0.01), name


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
    assert float(need.available_bytes) == 79.65 * GIB, "what the driver reports"
    assert float(need.parts["context"]) == CONTEXT_BYTES


# ---- rollout


def rollout(model: str = MODELS[0], **fields: float) -> Need:
    return rollout_need(serving(model, **fields))


def serving(
    model: str = MODELS[0], *, replica: float = 1.0, longest: float = 8192.0, alone: float = 0.0, **work: float
) -> Workload:
    layout = Layout(
        gpus=16.0,
        train_gpus=16.0,
        rollout_gpus=16.0,
        dp=16.0,
        rollout_gpus_per_replica=replica,
        rollout_attention_dp=alone,
    )
    columns = RolloutWork(samples=64.0, prompt_tokens=512.0, max_response_tokens=longest, **work)
    return replace(rl_workload(model), layout=layout, rollout=columns)


@given(model=st.sampled_from(MODELS), longest=st.floats(1, 1e6), replica=st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0]))
def test_longer_answers_need_more_and_larger_replicas_less(model: str, longest: float, replica: float) -> None:
    """Of a sequence's cache: how many sequences a replica holds depends on the room that there is."""

    def least(**fields: float) -> float:
        parts, each = rollout(model, **fields).parts, longest_sequence_bytes(serving(model, **fields))
        return float(parts["weights"] + parts["workspace"] + each)

    need = least(replica=replica, longest=longest)
    assert least(replica=replica, longest=2 * longest) > need
    assert least(replica=2 * replica, longest=longest) <= need
    assert least(replica=replica, longest=longest, weight_bytes=1.0, expert_weight_bytes=1.0) < need
    for smaller, larger in ((replica, 2 * replica), (2 * replica, 4 * replica)):
        assert bool(rollout(model, replica=larger, longest=longest).fits) >= bool(
            rollout(model, replica=smaller, longest=longest).fits
        )


def test_a_replica_with_little_room_runs_fewer_sequences_and_at_least_one() -> None:
    held = [
        float(rollout(longest=longest).parts["KV cache"] / longest_sequence_bytes(serving(longest=longest)))
        for longest in (1e5, 2.5e5, 3.5e5, 9e5)
    ]
    assert held == pytest.approx([4.0, 3.0, 2.0, 1.0])
    assert [bool(rollout(longest=longest).fits) for longest in (1e5, 9e5, 2e6)] == [True, True, False]


@given(model=st.sampled_from(MODELS), longest=st.floats(1, 2e6), replica=st.sampled_from([1.0, 2.0, 4.0, 8.0, 16.0]))
def test_the_time_counts_on_no_more_sequences_than_the_memory_holds(model: str, longest: float, replica: float) -> None:
    """Near-full replicas had 5 % of the memory for caches in the time, whatever was left."""
    work, need = serving(model, replica=replica, longest=longest), rollout(model, replica=replica, longest=longest)
    without_cache = need.total_bytes - need.parts["KV cache"]
    room = float((need.available_bytes - without_cache) / longest_sequence_bytes(work))
    assert bool(need.fits) == (room >= 1.0)
    assert float(live_capacity(work, 512.0 + longest)) == pytest.approx(float(np.clip(room, 1.0, 256.0)))


def test_a_replica_holds_its_weights_and_a_few_whole_sequences() -> None:
    model = find_model(MODELS[0])
    need = rollout(replica=2.0, longest=8192.0 - 512.0)
    assert float(need.parts["weights"]) == pytest.approx(2.0 * model.params_total / 2)
    assert model.layers
    assert model.kv_heads
    assert model.head_dim
    per_token = 2 * 2 * model.layers * model.kv_heads * model.head_dim
    assert float(need.parts["KV cache"]) == pytest.approx(FEW_SEQUENCES * 8192 * per_token / 2)
    assert float(need.available_bytes) == pytest.approx(0.9 * 79.65 * GIB)


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
    work = changed(work, "train", reference=0.0)
    moved, apart = host_need_bytes(work), host_need_bytes(changed(work, "rollout", schedule=ASYNC))
    assert float(moved) == pytest.approx(14 * params * 8 / 16 + 2 * params * 8 / 16)
    assert float(apart) == pytest.approx(2 * params * 8 / 16), "no node gathers all weights on their way to the engine"


def test_host_memory_holds_what_is_offloaded_and_what_moves() -> None:
    work = changed(rl_workload(), "rollout", schedule=ASYNC)
    params = find_model("Qwen/Qwen2.5-7B").params_total
    offloaded = changed(work, "train", offload=1.0)
    assert float(host_need_bytes(offloaded)) == pytest.approx(16 * params * 8 / 16 + 2 * params * 8 / 16)
    critic = changed(rl_workload(), "train", critic=1.0, reference=1.0)
    assert float(host_need_bytes(critic)) == pytest.approx((2 * 14 + 2) * params * 8 / 16 + 2 * params * 8 / 16)
    adapter = changed(rl_workload(), "train", lora=1.0)
    assert float(host_need_bytes(adapter)) == pytest.approx(2 * params * 8 / 16 + 2 * params * 8 / 16)
