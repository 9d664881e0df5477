"""Stages whose models are so small that CPUs serve and train them: the smoke sizes of the frameworks' templates."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planners.workload.sandbox_work import sandbox_work
from planners.workload.stage_work import HostWork, StageWork


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuModel:
    """Seconds of one CPU core per token."""

    generate_seconds: float
    train_seconds: float
    start_seconds: float
    """From the start of the stage to its first unit."""
    source: str


CPU_MODELS = {
    "clusterctl/smoke": CpuModel(
        generate_seconds=0.025,
        train_seconds=0.1,
        start_seconds=60.0,
        source="SmolLM2 135M, llama.cpp on one thread of 2 vCPUs: 40 tokens a second; training: assumption",
    ),
    "clusterctl/smoke-tiny": CpuModel(
        generate_seconds=2e-3,
        train_seconds=2e-3,
        start_seconds=60.0,
        source="two layers on one thread of 2 vCPUs: 0.5 s for 256 tokens; assumption for what is generated",
    ),
}
"""By name of the model."""


def on_host(work: StageWork) -> StageWork:
    """The work without GPUs, where CPUs serve and train each of its models; else as it is."""
    names = {generation.model.name for generation in work.generations}
    names |= {work.training.model.name} if work.training is not None else set()
    if work.host is not None or not names or not names <= set(CPU_MODELS):
        return work
    generating = sum(
        generation.samples
        * generation.turns
        * generation.likely_response_tokens
        * CPU_MODELS[generation.model.name].generate_seconds
        for generation in work.generations
    )
    training = 0.0
    if work.training is not None:
        tokens = work.training.batch_sequences * work.training.seq_len
        training = tokens * CPU_MODELS[work.training.model.name].train_seconds
    host = HostWork(
        generate_seconds=generating,
        train_seconds=training,
        start_seconds=max(CPU_MODELS[name].start_seconds for name in names),
        source="; ".join(sorted({CPU_MODELS[name].source for name in names})),
    )
    machine = work.sandbox_work or sandbox_work(None, "judge", samples=0.0)  # what a machine without GPUs is for
    return replace(work, generations=(), training=None, critic_forward=None, host=host, sandbox_work=machine)
