"""From the work of a stage to the columns that the physics reads.  Stated options win, else what stacks usually do."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

import numpy as np

from planners.physics.codes import COLOCATED, ENGINES, MEGATRON
from planners.physics.columns import UNKNOWN, Array, Column, Layout, RolloutWork, TrainWork, Workload, runs_like_fsdp
from planners.physics.rates import attention_speed
from planners.physics.shape import model_columns
from planners.workload.layouts import TimingContext
from planners.workload.replicas import attention_alone, live_limit, pipeline_stages, replica_gpus, resident_bytes
from planners.workload.stage_work import Generation, StageWork, Training
from planners.workload.weight_formats import kv_bytes, served_weights

MICRO_BATCH_TOKENS = 8192.0
"""Tokens per micro batch of FSDP-class trainers where the micro batch is not stated."""

PACKING_FROM_TOKENS = 4096.0
"""Trainers without sequence packing pad; above this context they pack (docs/ACCURACY.md)."""

COLOCATED_MEMORY_SHARE = 0.65
SERVING_MEMORY_SHARE = 0.9

Group = TypeVar("Group", Layout, TrainWork, RolloutWork)
NO_ROLLOUT = RolloutWork(samples=0.0, prompt_tokens=1.0, max_response_tokens=1.0, response_tokens=1.0)


def training_workload(work: StageWork, at: TimingContext) -> Workload:
    """The physics' view of one unit that trains: an RL step with its main generation, or an optimizer update."""
    training = work.training
    assert training is not None
    main = work.generations[0] if training.rl else None
    layout = _layout(at, main, training)
    return Workload(
        model=model_columns(training.model),
        gpu=at.gpu,
        layout=layout,
        train=train_work(training, at, main),
        rollout=rollout_work(main, work, at, layout, staleness_steps=work.staleness_steps) if main else NO_ROLLOUT,
        year=at.year,
    )


def generation_workload(work: StageWork, generation: Generation, at: TimingContext) -> Workload:
    """The physics' view of one generation beside (or without) training: an older RL stack decodes eagerly."""
    layout = _layout(at, generation, None)
    return Workload(
        model=model_columns(generation.model),
        gpu=at.gpu,
        layout=layout,
        train=TrainWork(seq_len=1.0, rl=float(work.training is not None)),
        rollout=rollout_work(generation, work, at, layout, staleness_steps=0.0),
        year=at.year,
    )


def _with_same_names(group: type[Group], source: object, **others: Column) -> Group:
    """A group of columns: `others`, and what `source` holds under the names of the group; yes and no as 1 and 0."""
    same = {f.name: getattr(source, f.name) for f in fields(group) if hasattr(source, f.name)}
    same = {name: float(value) if isinstance(value, bool) else value for name, value in same.items()}
    return group(**same | others)


def _layout(at: TimingContext, generation: Generation | None, training: Training | None) -> Layout:
    """Layout columns; a generation gets the candidate's replica size (its own model's where it is not the main one).

    Unless `tp` is stated, tensor parallelism ends at the scale-up domain and at what divides the heads; a replica that
    needs more GPUs is a pipeline.
    """
    replica = at.layouts.replica if generation is None else replica_gpus(at, generation)
    return _with_same_names(
        Layout,
        at.layouts,
        gpus_per_node=at.gpus_per_node,
        rollout_gpus_per_replica=replica,
        rollout_pp=1.0 if generation is None else pipeline_stages(at, generation, replica),
        rollout_attention_dp=0.0 if generation is None else attention_alone(at, generation, replica),
        virtual_stages=UNKNOWN if training is None else _virtual_stages(training),
    )


PIPELINE_STAGES = {None: UNKNOWN, "1f1b": 1.0, "interleaved": 4.0, "zero_bubble": 3.0}
"""Schedule -> by how much its bubble is smaller than that of 1F1B: interleaved by its stages per GPU, as the physics
assumes in pretraining (arXiv:2104.04473); zero bubble, at the memory of 1F1B, to a third (ZB-H1, arXiv:2401.10241)."""


def _virtual_stages(training: Training) -> float:
    """As a published run states them, else by the spec's schedule."""
    stated = training.virtual_stages
    return PIPELINE_STAGES[training.options.pipeline_schedule] if np.isnan(stated) else stated


def rollout_work(
    generation: Generation, work: StageWork, at: TimingContext, layout: Layout, *, staleness_steps: float
) -> RolloutWork:
    """One generation of `work` on the candidates of `at`."""
    rl = work.training is not None
    engine = ENGINES[generation.options.engine]
    weights = served_weights(generation.model, generation.options.precision, policy=generation.policy)
    schedule = at.layouts.schedule
    beside_trainer = (schedule == COLOCATED) & rl
    hit = generation.options.prefix_cache_hit_share
    return _with_same_names(
        RolloutWork,
        generation,
        prefix_cache_hit=1.0 if hit is None else hit,
        engine=engine,
        eager=UNKNOWN if generation.options.eager is None else float(generation.options.eager),
        weight_bytes=weights.dense,
        expert_weight_bytes=weights.expert,
        fp8=float(weights.dtype == "fp8") * np.asarray(at.gpu.has_fp8),
        accepted_tokens=generation.options.accepted_tokens,
        drafted_tokens=float(generation.options.drafted_tokens),
        kv_bytes=kv_bytes(generation.model, generation.options, engine),
        max_live_sequences=live_limit(generation, at, np.asarray(layout.rollout_gpus_per_replica), engine, rl=rl),
        memory_share=np.where(beside_trainer, COLOCATED_MEMORY_SHARE, SERVING_MEMORY_SHARE),
        resident_bytes=resident_bytes(generation, work, at),
        schedule=schedule,
        staleness_steps=staleness_steps,
    )


def micro_batch(training: Training, at: TimingContext) -> Array:
    """Sequences per micro batch and rank: stated; else the layout's; else one with Megatron, 8,192 tokens with FSDP."""
    stated = training.options.micro_batch_samples
    if stated is not None:
        return np.full(len(at.layouts), float(stated))
    usual = max(1.0, float(round(MICRO_BATCH_TOKENS / max(training.seq_len, 1.0))))
    usually = np.where(at.layouts.sharding == MEGATRON, 1.0, usual)
    return np.where(at.layouts.micro_batch > 0, at.layouts.micro_batch, usually)


def train_work(training: Training, at: TimingContext, main: Generation | None) -> TrainWork:
    """Training on the candidates of `at`; `main` is the generation that feeds an RL step."""
    options = training.options
    counts_samples = (options.micro_batch_samples is not None) | (at.layouts.micro_batch > 0)
    packed = np.ones(len(at.layouts))
    if options.packing is not None:
        packed = np.full(len(at.layouts), float(options.packing))
    elif main is not None:
        longest = min(4.0 * main.prompt_tokens, 1024.0) + main.max_response_tokens
        pads = (longest <= PACKING_FROM_TOKENS) & (runs_like_fsdp(at.layouts.sharding) | counts_samples)
        packed = np.where(pads, 0.0, 1.0)
    return _with_same_names(
        TrainWork,
        training,
        micro_batch_samples=micro_batch(training, at),
        packed=packed,
        fills_seq_len=np.where((packed > 0) & ~counts_samples & training.rl, 1.0, 0.0),
        fp8=float(options.precision == "fp8") * np.asarray(at.gpu.has_fp8),
        lora=float(options.lora_rank is not None),
        offload=float(options.optimizer_offload),
        recompute=at.layouts.recompute,
        attention_speed=attention_speed(options.attention or "", at.gpu),
        compiled=UNKNOWN if options.compile is None else float(options.compile),
    )
