"""Training time: what must hold for any constants near the priors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from workloads import PRIOR, changed, pretrain_workload, rl_workload

from planners.physics.codes import DDP, FSDP, MEGATRON, ZERO1, ZERO2
from planners.physics.step import supervised_seconds
from planners.physics.train import HOST_ADAM_BYTES, HOST_MEMORY_BYTES_PER_S


@given(st.sampled_from([128.0, 512.0, 2048.0]))
def test_time_is_linear_in_tokens_when_the_batch_is_big(sequences: float) -> None:
    w = changed(pretrain_workload(), "train", batch_sequences=sequences)
    double = changed(w, "train", batch_sequences=2 * sequences)
    ratio = supervised_seconds(PRIOR, double).seconds / supervised_seconds(PRIOR, w).seconds
    assert ratio == pytest.approx(2, rel=0.05)


@given(st.sampled_from([8.0, 16.0, 64.0, 256.0]))
def test_more_gpus_at_the_same_layout_are_not_slower(gpus: float) -> None:
    def seconds(count: float) -> float:
        w = changed(pretrain_workload(), "layout", gpus=count, train_gpus=count, dp=count)
        return float(supervised_seconds(PRIOR, changed(w, "train", batch_sequences=4096.0)).seconds)

    assert seconds(2 * gpus) < seconds(gpus)


@given(factor=st.floats(1.1, 4))
def test_a_faster_gpu_is_never_slower(factor: float) -> None:
    w = pretrain_workload()
    for column in ("bf16_flops", "hbm_bytes_per_s", "scale_up_bytes_per_s", "scale_out_bytes_per_s"):
        better = changed(w, "gpu", **{column: getattr(w.gpu, column) * factor})
        assert supervised_seconds(PRIOR, better).seconds <= supervised_seconds(PRIOR, w).seconds


def test_fp8_is_faster_only_where_the_gpu_has_it() -> None:
    for gpu, faster in (("H100", True), ("A100-80", False)):
        w = pretrain_workload(gpu=gpu)
        fp8 = supervised_seconds(PRIOR, changed(w, "train", fp8=1.0)).seconds
        assert (fp8 < supervised_seconds(PRIOR, w).seconds) == faster


def test_lora_is_faster_and_recomputing_slower() -> None:
    w = pretrain_workload()
    plain = supervised_seconds(PRIOR, w).seconds
    assert supervised_seconds(PRIOR, changed(w, "train", lora=1.0)).seconds < plain
    assert supervised_seconds(PRIOR, changed(w, "train", recompute=1.0)).seconds > 1.2 * plain


def test_pipeline_stages_cost_a_bubble_and_interleaving_reduces_it() -> None:
    w = changed(pretrain_workload(), "layout", pp=4.0, dp=4.0, virtual_stages=1.0)
    bubble = supervised_seconds(PRIOR, w).parts["pipeline bubble"]
    interleaved = changed(w, "layout", virtual_stages=4.0)
    assert bubble > supervised_seconds(PRIOR, interleaved).parts["pipeline bubble"] > 0
    assert supervised_seconds(PRIOR, pretrain_workload()).parts["pipeline bubble"] == 0


def test_stated_flops_replace_the_shape() -> None:
    w = pretrain_workload()
    flops = 6 * 8.03e9
    stated = supervised_seconds(PRIOR, changed(w, "train", flops_per_token=flops))
    doubled = supervised_seconds(PRIOR, changed(w, "train", flops_per_token=2 * flops))
    assert float(stated.parts["attention"]) == 0
    assert doubled.parts["compute"] == pytest.approx(2 * float(stated.parts["compute"]))


def test_the_named_parts_are_the_ones_a_plan_speaks_of() -> None:
    parts = supervised_seconds(PRIOR, pretrain_workload("Qwen/Qwen3-30B-A3B")).parts
    assert set(parts) == {
        "compute",
        "attention",
        "HBM bandwidth",
        "tensor-parallel traffic",
        "context-parallel traffic",
        "expert traffic",
        "kernel launch",
        "pipeline bubble",
        "data-parallel traffic",
        "optimizer step",
        "reference",
        "weight export",
    }
    assert all(np.all(np.asarray(seconds) >= 0) for seconds in parts.values())


def test_options_move_the_time_the_right_way() -> None:
    w = rl_workload()
    plain = supervised_seconds(PRIOR, changed(w, "train", batch_sequences=64.0)).seconds
    for column, value, slower in (
        ("attention_speed", 0.5, True),
        ("compiled", 1.0, False),
        ("evaluation_share", 0.2, True),
    ):
        other = supervised_seconds(PRIOR, changed(w, "train", batch_sequences=64.0, **{column: value})).seconds
        assert (other > plain) == slower, column


def test_modules_that_nothing_fuses_touch_more_memory() -> None:
    modules = changed(pretrain_workload(), "layout", sharding=FSDP)

    def traffic(**facts: float) -> float:
        return float(supervised_seconds(PRIOR, changed(modules, "train", **facts)).parts["HBM bandwidth"])

    assert traffic(compiled=1.0) < traffic() < traffic(compiled=0.0)
    assert traffic(post_training=1.0) > 1.5 * traffic(post_training=1.0, compiled=1.0), "SFT that does not say"
    assert traffic(compiled=1.0, lora=1.0) > traffic(compiled=1.0), "adapters read their inputs again"


def test_tensor_parallel_traffic_of_modules_is_not_overlapped() -> None:
    def traffic(sharding: float) -> float:
        w = changed(pretrain_workload(), "layout", tp=8.0, dp=8.0, gpus=64.0, train_gpus=64.0, sharding=sharding)
        time = supervised_seconds(PRIOR, w)
        return float(time.parts["tensor-parallel traffic"] / time.parts["compute"])

    assert traffic(FSDP) > 1.5 * traffic(MEGATRON)


def test_fully_sharded_small_batches_wait_for_the_network() -> None:
    w = changed(
        pretrain_workload("meta-llama/Llama-2-70b-hf"), "layout", sharding=FSDP, gpus=64.0, train_gpus=64.0, dp=64.0
    )
    time = supervised_seconds(PRIOR, changed(w, "train", batch_sequences=64.0, seq_len=512.0))
    assert max(time.parts, key=lambda name: float(time.parts[name])) == "data-parallel traffic"


@pytest.mark.parametrize("sharding", [MEGATRON, FSDP, ZERO1, ZERO2, DDP])
def test_an_offloaded_optimizer_is_never_faster(sharding: float) -> None:
    w = changed(pretrain_workload(), "layout", sharding=sharding)
    there, here = (supervised_seconds(PRIOR, changed(w, "train", offload=each)) for each in (1.0, 0.0))
    assert there.seconds > here.seconds
    updated = float(w.model.params_total) / (2 if sharding != DDP else 0.125)
    least = updated * HOST_ADAM_BYTES / HOST_MEMORY_BYTES_PER_S
    assert there.parts["optimizer step"] > least, "the parameters of a node, 8 of 16 GPUs, pass its DRAM"
    adapters = changed(changed(w, "train", lora=1.0), "train", offload=1.0)
    assert supervised_seconds(PRIOR, adapters).parts["optimizer step"] == PRIOR.optimizer_step_seconds


def test_data_parallel_traffic_follows_the_sharding() -> None:
    """With many micro batches FSDP moves weights and gradients in each, ZeRO-2 gradients, the others nothing."""
    w = changed(pretrain_workload(), "train", batch_sequences=1024.0)
    fsdp, zero2, zero1, ddp = (
        supervised_seconds(PRIOR, changed(w, "layout", sharding=each)) for each in (FSDP, ZERO2, ZERO1, DDP)
    )
    traffic = [float(each.parts["data-parallel traffic"]) for each in (fsdp, zero2, zero1, ddp)]
    assert traffic == sorted(traffic, reverse=True)
    assert traffic[0] == pytest.approx(3 * traffic[1], rel=0.05)
