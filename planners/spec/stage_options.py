"""How models generate and train, and the sandbox in which code runs.

Everything has a default or a profile's value, and each field that is stated narrows the band.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from planners.spec.distributions import SecondsSpread
from planners.spec.spec_model import (
    Count,
    CountOrZero,
    Cpus,
    Degree,
    Factor,
    Gib,
    GibOrZero,
    PerSecond,
    Seconds,
    Share,
    SpecModel,
)

Precision = Literal["bf16", "fp8"]
Engine = Literal["vllm", "sglang", "trtllm", "hf"]
Sharding = Literal["auto", "fsdp", "megatron", "zero1", "zero2", "zero3", "ddp"]
Schedule = Literal["auto", "colocated", "disaggregated", "async"]


AutoIsUnknown = BeforeValidator(lambda value: None if value == "auto" else value)
"""`auto` is what specs wrote for what is left out."""


class RolloutOptions(SpecModel):
    """How the model generates."""

    engine: Engine = Field("vllm", description="Inference engine.")
    precision: Precision | None = Field(
        None, description="Precision of weights and arithmetic while generating; default: as the model is published."
    )
    kv_cache_dtype: Precision | None = Field(
        None, description="Precision of the KV cache; default: as the model is published."
    )
    tp: Degree | None = Field(None, description="Tensor-parallel degree of a replica; default: searched.")
    pp: Degree | None = Field(
        None, description="Pipeline stages of a replica; default: 1 with a stated tp, else as many as the weights need."
    )
    eager: bool | None = Field(None, description="Eager mode (no CUDA graphs); unknown = assumed off.")
    attention_dp: bool | None = Field(
        None,
        description="Attention data parallel, experts over all GPUs of a replica; default: for mixtures of experts "
        "with many sequences per GPU.",
    )
    accepted_tokens: Factor = Field(
        1.0, description="Tokens per sequence and iteration with speculative decoding or multi-token prediction."
    )
    drafted_tokens: CountOrZero = Field(0, description="Tokens that each iteration drafts and checks.")
    concurrency: Count | None = Field(None, description="Sequences at once per replica; default: by memory.")
    prefix_cache_hit_share: Share | None = Field(
        None, description="Share of prompt tokens found in the prefix cache; default: by group size and turns."
    )


class TrainOptions(SpecModel):
    """How the model trains."""

    sharding: Sharding = Field(
        "auto",
        description="What data-parallel ranks share: zero1 and megatron optimizer states, zero2 gradients too, "
        "fsdp and zero3 weights too, ddp nothing; auto: fsdp or megatron.",
    )
    precision: Precision = Field("bf16", description="Precision of the matrix products.")
    tp: Degree | None = Field(None, description="Tensor-parallel degree; default: searched.")
    pp: Degree | None = Field(None, description="Pipeline-parallel degree; default: searched.")
    cp: Degree | None = Field(None, description="Context-parallel degree; default: searched.")
    ep: Degree | None = Field(None, description="Expert-parallel degree; default: searched.")
    micro_batch_samples: Count | None = Field(
        None, description="Sequences per micro batch and rank; default: searched."
    )
    recompute: Literal["auto", "none", "selective", "full"] = Field(
        "auto", description="Activation recomputation; auto: the least that leaves 2% of the memory free."
    )
    lora_rank: Annotated[int, Field(strict=True, ge=1, le=65_536)] | None = Field(
        None, description="LoRA rank; left out = all weights train."
    )
    packing: bool | None = Field(None, description="Sequences packed without padding; unknown = by framework.")
    attention: Annotated[Literal["fa2", "fa3"] | None, AutoIsUnknown] = Field(
        None, description="FlashAttention 2 or 3; unknown = as usual on the GPU."
    )
    compile: bool | None = Field(None, description="torch.compile or an equivalent; unknown = by framework.")
    optimizer_offload: bool = Field(False, description="Optimizer states live in host memory; the CPUs update them.")
    tuned: bool = Field(
        False,
        description="Layout and kernels are tuned for this model and GPU; else pretraining and fine-tuning take about "
        "1.3 times as long.",
    )
    pipeline_schedule: Annotated[Literal["1f1b", "interleaved", "zero_bubble"] | None, AutoIsUnknown] = Field(
        None, description="Pipeline schedule, where pp > 1; unknown = interleaved in pretraining, else 1f1b."
    )

    @model_validator(mode="after")
    def _degrees_have_a_trainer(self) -> Self:
        degrees = [name for name in ("tp", "pp", "ep") if (getattr(self, name) or 1) > 1]
        if degrees and self.sharding not in ("auto", "megatron"):
            raise ValueError(f"{degrees[0]} needs sharding megatron (or auto), not {self.sharding}")
        return self


class Evaluation(SpecModel):
    """Evaluation inside a training stage; training waits for it."""

    every_steps: Count = Field(description="Steps between evaluations.")
    prompts: Count = Field(500, description="Problems per evaluation.")
    samples: Count = Field(1, description="Samples per problem.")


class Checkpointing(SpecModel):
    """Checkpoints: how often and how many stay."""

    every_steps: Count = Field(50, description="Steps between checkpoints.")
    keep: CountOrZero = Field(3, description="Checkpoints kept at once; 0 = all.")


ProfileName = Literal["judge", "swe", "browser"]


class SandboxSpec(SpecModel):
    """One kind of sandbox.  `seconds` is one judging run; tool calls between turns are `tool_seconds` of the stage."""

    profile: ProfileName | None = Field(
        None,
        description="Defaults for the fields left out: judge (compile and run tests), swe (a repository), browser.",
    )
    cpus: Cpus | None = Field(None, description="vCPUs of one sandbox.")
    memory_gib: Gib | None = Field(None, description="Memory of one sandbox.")
    disk_gib: GibOrZero | None = Field(None, description="Disk that one sandbox writes; default: the node's.")
    seconds: SecondsSpread | None = Field(None, description="One judging run, by mean and 95th percentile.")
    time_limit_seconds: Seconds | None = Field(None, description="A run is killed after this long.")
    calls_per_sample: Factor | None = Field(None, description="Judging runs per sample.")
    stateful: bool | None = Field(None, description="Held for the whole trajectory (true) or per call.")
    image_gib: GibOrZero | None = Field(None, description="Unpacked image size.")
    start_seconds: SecondsSpread | None = Field(None, description="From asking for a sandbox to using it.")
    starts_per_second_per_node: PerSecond | None = Field(None, description="Starts that one node sustains.")
    max_per_node: Count | None = Field(None, description="Most sandboxes on one node, whatever its size.")
    failure_share: Share | None = Field(None, description="Runs that fail for no fault of the code; repeated.")
    serial: bool = Field(False, description="Reward code calls the sandbox one sample at a time (a known trap).")
    concurrency: Count | None = Field(None, description="Most sandboxes at once, e.g. a client's limit.")
