"""Kinds as float codes, so that they can be columns: GPU generation, sharding, engine, model, schedule, weight sync."""

from __future__ import annotations

AMPERE, HOPPER, BLACKWELL, CDNA3, HOPPER_CUT, ADA = 0.0, 1.0, 2.0, 3.0, 4.0, 5.0
MEGATRON, FSDP, ZERO1, ZERO2, DDP = 0.0, 1.0, 2.0, 3.0, 4.0
"""What data-parallel ranks share.  MEGATRON and ZERO1: optimizer states; ZERO2: gradients too; FSDP (ZeRO-3): weights
too; DDP: nothing.  ZeRO: arXiv:1910.02054."""
VLLM, TRTLLM, TRANSFORMERS, SGLANG = 0.0, 1.0, 2.0, 3.0
"""Rollout engines."""
BASE, INSTRUCT, REASONER, AGENT = 0.0, 1.0, 2.0, 3.0
"""Kinds of models by how long they write: pre-trained, chat, reasoning, and any of them over several turns."""
BROADCAST, CHECKPOINT_ENGINE, SHARDED, FILE = 0.0, 1.0, 2.0, 3.0
"""Methods of weight sync: tensor by tensor, by a checkpoint engine, each GPU its own part, through files."""
COLOCATED, DISAGGREGATED, ASYNC = 0.0, 1.0, 2.0
"""Schedules: phases take turns on the same GPUs; two pools in lockstep; two pools `staleness_steps` apart."""

GENERATIONS = {
    "ampere": AMPERE,
    "hopper": HOPPER,
    "blackwell": BLACKWELL,
    "cdna3": CDNA3,
    "hopper_cut": HOPPER_CUT,
    "ada": ADA,
}
SHARDING_NAMES = ("megatron", "fsdp", "zero1", "zero2", "ddp")
"""By code."""
SHARDINGS = {name: float(code) for code, name in enumerate(SHARDING_NAMES)} | {"zero3": FSDP}
ENGINE_NAMES = ("vllm", "trtllm", "hf", "sglang")
"""By code."""
ENGINES = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "trtllm": TRTLLM,
    "tensorrt-llm": TRTLLM,
    "hf": TRANSFORMERS,
    "transformers": TRANSFORMERS,
}
SCHEDULES = {"colocated": COLOCATED, "disaggregated": DISAGGREGATED, "async": ASYNC}
SYNC_METHODS = {"broadcast": BROADCAST, "checkpoint-engine": CHECKPOINT_ENGINE, "sharded": SHARDED, "file": FILE}
RECOMPUTES = {"none": 0.0, "selective": 0.1, "full": 1.0}
"""What people call the codes, in specs and in published cases."""
