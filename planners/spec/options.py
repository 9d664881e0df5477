"""How models generate and train: everything here has a default, and each known fact narrows the band."""

from typing import Annotated, Literal

from pydantic import Field

from planners.spec.base import Count, CountOrZero, Degree, Share, SpecModel

Precision = Literal["bf16", "fp8"]
Engine = Literal["vllm", "sglang", "trtllm", "hf"]
Sharding = Literal["auto", "fsdp", "megatron", "zero1", "zero2", "zero3", "ddp"]
Schedule = Literal["auto", "colocated", "disaggregated", "async"]


class RolloutOptions(SpecModel):
    """How the model generates."""

    engine: Engine = Field("vllm", description="Inference engine.")
    precision: Precision = Field("bf16", description="Precision of weights and arithmetic while generating.")
    tp: Degree | None = Field(None, description="Tensor-parallel degree of a replica; default: searched.")
    eager: bool | None = Field(None, description="Eager mode (no CUDA graphs); unknown = assumed off.")
    concurrency: Count | None = Field(None, description="Sequences at once per replica; default: by memory.")
    prefix_cache_hit_share: Share | None = Field(
        None, description="Share of prompt tokens found in the prefix cache; default: by group size and turns."
    )


class TrainOptions(SpecModel):
    """How the model trains."""

    sharding: Sharding = Field("auto", description="Framework family and sharding of the optimizer.")
    precision: Precision = Field("bf16", description="Precision of the matrix products.")
    tp: Degree | None = Field(None, description="Tensor-parallel degree; default: searched.")
    pp: Degree | None = Field(None, description="Pipeline-parallel degree; default: searched.")
    cp: Degree | None = Field(None, description="Context-parallel degree; default: searched.")
    ep: Degree | None = Field(None, description="Expert-parallel degree; default: searched.")
    micro_batch_samples: Count | None = Field(None, description="Sequences per micro batch and rank.")
    recompute: Literal["auto", "none", "selective", "full"] = Field(
        "auto", description="Activation recomputation; auto: the least that fits the memory."
    )
    lora_rank: Annotated[int, Field(strict=True, ge=1, le=65_536)] | None = Field(
        None, description="LoRA rank; left out = all weights train."
    )
    packing: bool | None = Field(None, description="Sequences packed without padding; unknown = by framework.")
    attention: Literal["auto", "fa2", "fa3"] = Field("auto", description="Attention kernel.")
    compile: bool | None = Field(None, description="torch.compile or an equivalent; unknown = by framework.")
    optimizer_offload: bool = Field(False, description="Optimizer states live in host memory.")
    pipeline_schedule: Literal["auto", "1f1b", "interleaved", "zero_bubble"] = Field(
        "auto", description="Pipeline schedule, where pp > 1."
    )


class Evaluation(SpecModel):
    """Evaluation inside a training stage; training waits for it."""

    every_steps: Count = Field(description="Steps between evaluations.")
    prompts: Count = Field(500, description="Problems per evaluation.")
    samples: Count = Field(1, description="Samples per problem.")


class Checkpointing(SpecModel):
    """Checkpoints: how often and how many stay."""

    every_steps: Count = Field(50, description="Steps between checkpoints.")
    keep: CountOrZero = Field(3, description="Checkpoints kept at once; 0 = all.")
