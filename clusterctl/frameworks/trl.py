"""TRL: arguments of its trainers, in YAML or as flags, with what `accelerate launch` or `torchrun` adds.

Names and defaults: TRL 1.16, trl/trainer/*_config.py (github.com/huggingface/trl), transformers' TrainingArguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.frameworks import common
from clusterctl.frameworks.draft import RECOMPUTE, Draft, rl_steps
from clusterctl.frameworks.launch import LaunchCommand
from clusterctl.frameworks.setting_table import Setting, Settings

DEFAULTS: Mapping[str, Any] = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "num_generations": 8,
    "max_completion_length": 256,
    "num_train_epochs": 3.0,
    "num_iterations": 1,
    "beta": 0.0,
    "save_steps": 500,
}
SFT_DEFAULTS: Mapping[str, Any] = {
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "num_train_epochs": 3.0,
    "max_length": 1024,
    "save_steps": 500,
}
PROCESSES = 8
"""Processes where nothing says how many.  Assumption: accelerate takes all GPUs of one node."""
_ZERO = {1: "zero1", 2: "zero2", 3: "zero3"}
_DISTRIBUTED = {"FSDP": "fsdp", "MULTI_GPU": "ddp", "NO": "ddp"}
_KINDS = (
    ("grpo", "rlcef"), ("rloo", "rlcef"), ("ppo", "rlcef"), ("reward", "reward-model"), ("rm", "reward-model"),
    ("dpo", "dpo"), ("kto", "dpo"), ("orpo", "dpo"), ("cpo", "dpo"), ("bco", "dpo"), ("sft", "sft"),
)  # fmt: skip


def mapper(launch: LaunchCommand) -> tuple[str, Mapping[str, Any], Callable[[Draft], None]]:
    """The kind of stage, TRL's defaults and the mapping of one launch.  Raises SpecError."""
    kind = next((kind for word, kind in _KINDS if word in launch.program), None)
    if kind is None and launch.evidence.startswith("`--"):
        kind = _kind_of(launch.settings)  # a program of the user's own, known by its flags
    if kind is None and launch.program:
        raise SpecError(
            f"{launch.where}: {launch.program} is a trainer that no spec describes",
            hint="known: sft, grpo, rloo, dpo, kto, reward",
        )
    if kind is None:
        kind = _kind_of(launch.settings)
    return (kind, DEFAULTS, reinforcement) if kind == "rlcef" else (kind, SFT_DEFAULTS, supervised)


def _kind_of(settings: Mapping[str, Setting]) -> str:
    """A configuration file doesn't name its trainer; some arguments do."""
    if any(key in settings for key in ("num_generations", "reward_funcs", "max_completion_length")):
        return "rlcef"
    if any(key in settings for key in ("center_rewards_coefficient", "reward_model_name_or_path")):
        return "reward-model"
    if any(key in settings for key in ("beta", "loss_type", "max_prompt_length")):
        return "dpo"
    return "sft"


def _processes(settings: Settings) -> tuple[Setting | None, Setting | None]:
    """Nodes, and processes per node; accelerate counts all processes together."""
    nodes = settings.number("launcher.nnodes", "launcher.num_machines", "num_machines")
    all_ = settings.number("launcher.num_processes", "num_processes")
    each = settings.number("launcher.nproc_per_node")
    if each is None and all_ is not None:
        return None, all_
    return nodes, each


def _world(draft: Draft) -> tuple[int, str]:
    """Processes that train, and how that is known."""
    nodes, each = _processes(draft.settings)
    common.gpus(draft, [(nodes, each)])
    if each is None:
        return PROCESSES, "their number is not in the file, and that of the GPUs is left to the plan"
    return int(each.value) * (int(nodes.value) if nodes else 1), ""


def reinforcement(draft: Draft) -> None:
    """Map the arguments of GRPO, RLOO and PPO trainers."""
    settings = draft.settings
    draft.model("model", settings.get("model_name_or_path"))
    named = "rloo" if any("rloo" in str(s.value) for s in settings.under("trainer")) else "grpo"
    draft.put("algorithm", named, settings.get("loss_type", default=False), "the trainer is GRPO's")
    draft.choose("algorithm", {"sequence": "gspo"}, "importance_sampling_level")
    draft.choose("algorithm", {"dapo": "dapo"}, "loss_type")
    world, why = _world(draft)
    device, accumulation = (
        settings.count("per_device_train_batch_size") or 1,
        settings.count("gradient_accumulation_steps") or 1,
    )
    group = draft.take("samples_per_prompt", "num_generations") or 1
    whole = settings.count("generation_batch_size")
    updates = settings.count("steps_per_generation") or accumulation
    samples = whole or device * world * updates
    found = settings.get("generation_batch_size", "per_device_train_batch_size")
    prompts = max(samples // group, 1)
    said = f"{device} × {world} processes × {updates} ÷ {group}"
    draft.put("prompts_per_step", prompts, None if why else found, "; ".join(t for t in (said, why) if t))
    passes = draft.take("epochs_per_step", "num_iterations") or 1
    if (steps := max(updates // accumulation, 1) * passes) > 1:
        draft.put("optimizer_steps_per_step", steps, settings.get("steps_per_generation", "num_iterations"))
    common.lengths(draft, settings.get("max_prompt_length"), settings.get("max_completion_length"))
    rl_steps(draft, settings.number("max_steps"), settings.number("num_train_epochs", least=1e-9), None, prompts)
    common.reference(draft, settings.get("beta"))
    _generation(draft)
    _training(draft)
    texts = [
        s for s in settings.by_key.values() if s.key.partition(".")[0] in ("dataset_name", "reward_funcs", "datasets")
    ]
    settings.get("dataset_name", "reward_funcs")
    common.judge(draft, "reward model", settings.get("reward_model_name_or_path", "reward_model_path"))
    common.rewards(draft, None, texts)
    common.checkpoints(draft, settings.get("save_steps"), settings.get("save_total_limit"), draft.stage["steps"])
    if settings.value("eval_strategy") == "steps":
        common.evaluation(draft, settings.get("eval_steps"), None)


def _generation(draft: Draft) -> None:
    settings = draft.settings
    use = settings.get("use_vllm", default=False)
    if use is None or use.value is not True:
        draft.put("rollout.engine", "hf", use, "without vLLM the model generates by transformers")
        return
    draft.put("rollout.engine", "vllm", use)
    draft.choose("schedule", {"colocate": "colocated", "server": "disaggregated"}, "vllm_mode")
    draft.take("rollout.tp", "vllm_tensor_parallel_size")
    draft.ignore("the plan sets the engine's share of the memory itself", "vllm_gpu_memory_utilization")


def _training(draft: Draft) -> None:
    settings = draft.settings
    has_kind = draft.choose("train.sharding", _DISTRIBUTED, "distributed_type")
    if not draft.choose("train.sharding", _ZERO, "deepspeed_config.zero_stage", "zero_stage") and not has_kind:
        _by_file_name(draft)
    draft.take("train.micro_batch_samples", "per_device_train_batch_size")
    draft.choose("train.recompute", RECOMPUTE, "gradient_checkpointing")
    if settings.flag("use_peft") and draft.take("train.lora_rank", "lora_r") is None:
        draft.put("train.lora_rank", 16, None, "TRL's default")
    draft.choose("train.attention", {"flash_attention_2": "fa2", "flash_attention_3": "fa3"}, "attn_implementation")
    draft.switch("train.packing", "packing")
    draft.switch("train.compile", "torch_compile")


def _by_file_name(draft: Draft) -> None:
    """How a configuration of accelerate or DeepSpeed that isn't there is named."""
    for found in (draft.settings.get("launcher.config_file"), draft.settings.get("deepspeed")):
        text = str(found.value).lower() if found else ""
        if word := next((word for word in ("zero1", "zero2", "zero3", "fsdp", "multi_gpu") if word in text), None):
            draft.put("train.sharding", word.replace("multi_gpu", "ddp"), found, "by the name of the file")
            return


def supervised(draft: Draft) -> None:
    """Map the arguments of SFT, DPO, KTO and reward trainers."""
    settings = draft.settings
    draft.model("model", settings.get("model_name_or_path"))
    world, why = _world(draft)
    device, accumulation = (
        settings.count("per_device_train_batch_size") or 1,
        settings.count("gradient_accumulation_steps") or 1,
    )
    batch = device * accumulation * world
    said = "; ".join(text for text in (f"{device} × {accumulation} × {world} processes", why) if text)
    draft.put("global_batch_samples", batch, None if why else settings.get("per_device_train_batch_size"), said)
    common.sample_lengths(draft, settings.get("max_length", "max_seq_length", "max_seq_len"))
    epochs = settings.number("num_train_epochs", least=1e-9)
    common.training_size(draft, settings.number("max_steps"), batch, settings.number("max_train_samples"), epochs)
    _training(draft)
    common.checkpoints(draft, settings.get("save_steps"), settings.get("save_total_limit"), 500)
    if draft.kind == "dpo":
        loss = settings.get("loss_type", default=False)
        draft.put("reference", False if loss is not None and loss.value in ("orpo", "simpo") else None, loss)
