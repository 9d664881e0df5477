"""Workloads for the physics tests: a 7B and a mixture-of-experts model on H100."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clusterctl.catalog import find_gpu, find_model
from planners.physics.columns import Layout, RolloutWork, TrainWork, Workload
from planners.physics.constants import Constants
from planners.physics.shape import gpu_columns, model_columns

PRIOR = Constants()


def rl_workload(model: str = "Qwen/Qwen2.5-7B", gpu: str = "H100") -> Workload:
    """GRPO with 64 x 16 samples of 1,000 tokens on 16 GPUs, colocated."""
    return Workload(
        model=model_columns(find_model(model)),
        gpu=gpu_columns(find_gpu(gpu)),
        layout=Layout(gpus=16.0, train_gpus=16.0, rollout_gpus=16.0, dp=16.0),
        train=TrainWork(seq_len=4096.0, rl=1.0, post_training=1.0, reference=1.0, recompute=1.0),
        rollout=RolloutWork(
            samples=1024.0,
            prompt_tokens=200.0,
            max_response_tokens=4096.0,
            response_tokens=1000.0,
            samples_per_prompt=16.0,
            max_live_sequences=1024.0,
            memory_share=0.65,
        ),
        year=2026.0,
    )


def pretrain_workload(model: str = "meta-llama/Llama-3.1-8B", gpu: str = "H100") -> Workload:
    """256 sequences of 4,096 tokens per update on 16 GPUs, Megatron class."""
    base = rl_workload(model, gpu)
    train = TrainWork(seq_len=4096.0, batch_sequences=256.0)
    return replace(base, layout=replace(base.layout, sharding=0.0), train=train)


def changed(w: Workload, group: str, **columns: Any) -> Workload:
    """The workload with some columns of one group replaced."""
    return replace(w, **{group: replace(getattr(w, group), **columns)})
