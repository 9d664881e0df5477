"""NeMo RL: YAML of GRPO, PPO, SFT, DPO, reward models and distillation, over the files in its `defaults`.

Names: NeMo RL, examples/configs (github.com/NVIDIA-NeMo/RL).  It has no defaults: its files state everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.frameworks import common
from clusterctl.frameworks.draft import FP8, RECOMPUTE, Draft, rl_steps
from clusterctl.frameworks.launch import LaunchCommand
from clusterctl.frameworks.setting_table import Setting

ENGINES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm", "megatron": "hf"}
_SECTIONS = (("ppo", "rlcef"), ("grpo", "rlcef"), ("dpo", "dpo"), ("rm", "reward-model"), ("sft", "sft"))
_MANY = 1_000_000
"""So many steps stand in NeMo RL's files for no limit."""


def mapper(launch: LaunchCommand) -> tuple[str, Mapping[str, Any], Callable[[Draft], None]]:
    """The kind of stage and the mapping of one file.  Raises SpecError."""
    sections = {key.partition(".")[0] for key in launch.settings}
    if "distillation" in sections:
        return "rlcef", {}, lambda draft: reinforcement(draft, "distillation")
    for section, kind in _SECTIONS:
        if section in sections and not (section == "grpo" and sections & {"dpo", "rm"}):
            if kind == "rlcef":
                return kind, {}, lambda draft, section=section: reinforcement(draft, section)
            return kind, {}, lambda draft, section=section: supervised(draft, section)
    known = ", ".join(section for section, _ in _SECTIONS)
    raise SpecError(
        f"{launch.where}: has no section {known} or distillation",
        hint="is its parent beside it, or is it an evaluation?",
    )


def reinforcement(draft: Draft, section: str) -> None:
    """Map GRPO, PPO and on-policy distillation."""
    settings = draft.settings
    draft.model("model", settings.get("policy.model_name"))
    _algorithm(draft, section)
    prompts = draft.take("prompts_per_step", f"{section}.num_prompts_per_step") or 128
    group = draft.take("samples_per_prompt", f"{section}.num_generations_per_prompt")
    whole = settings.get("policy.max_total_sequence_length")
    response = settings.get("policy.generation.max_new_tokens") or whole
    common.lengths(draft, settings.get("data.max_input_seq_length") if response is not whole else None, response)
    batch = settings.number("policy.train_global_batch_size")
    if batch is not None and group and prompts * group > batch.value:
        why = f"{prompts} × {group} ÷ {batch.value}"
        draft.put("optimizer_steps_per_step", int(prompts * group // batch.value), batch, why)
    total = settings.number(f"{section}.max_num_steps")
    stated = total if total is not None and total.value < _MANY else None
    rl_steps(draft, stated, settings.number(f"{section}.max_num_epochs", least=1e-9), None, prompts)
    turns = settings.number(f"{section}.max_rollout_turns", least=2)
    draft.put(
        "turns", int(turns.value) if turns and turns.value < 10**4 else None, turns, "the most; the mean is better"
    )
    _generation(draft)
    training(draft)
    _placement(draft, section)
    common.rewards(draft, None, [*settings.under("env."), *settings.under("data.")])
    _checkpoints(draft)
    common.evaluation(
        draft, settings.get(f"{section}.val_period"), settings.get(f"{section}.val_num_generations_per_prompt")
    )


def _algorithm(draft: Draft, section: str) -> None:
    settings = draft.settings
    sampling = settings.flag(f"{section}.use_dynamic_sampling")
    estimator = settings.get(f"{section}.adv_estimator.name")
    level = settings.flag("loss_fn.sequence_level_importance_ratios")
    if section == "ppo":
        draft.put("algorithm", "ppo", Setting("ppo", True, _section_line(draft, section)))
    elif section == "distillation":
        draft.put(
            "algorithm", "grpo", None, "on-policy distillation: as much work as one group, the teacher is the reference"
        )
        draft.put("reference", True, settings.get("teacher.model_name"), "the teacher scores each sample")
        return
    elif sampling:
        draft.put("algorithm", "dapo", settings.get(f"{section}.use_dynamic_sampling"))
        draft.put("oversampling", *common.DYNAMIC_SAMPLING)
    elif estimator is not None and str(estimator.value).startswith("reinforce_plus_plus"):
        draft.put("algorithm", "reinforce++", estimator)
    elif level:
        draft.put("algorithm", "gspo", settings.get("loss_fn.sequence_level_importance_ratios"))
    else:
        draft.put("algorithm", "grpo", Setting(section, True, _section_line(draft, section)))
    common.reference(draft, settings.get("loss_fn.reference_policy_kl_penalty"), "penalty")


def _section_line(draft: Draft, section: str) -> str:
    return next((found.where for found in draft.settings.under(f"{section}.")), "")


def _generation(draft: Draft) -> None:
    settings = draft.settings
    named = settings.get("policy.generation.backend")
    draft.put("rollout.engine", ENGINES.get(str(named.value)) if named else None, named)
    engine = f"policy.generation.{named.value}_cfg" if named else "policy.generation.vllm_cfg"
    draft.take("rollout.tp", f"{engine}.tensor_parallel_size", f"{engine}.tp_size")
    draft.take("rollout.pp", f"{engine}.pipeline_parallel_size", least=2)
    draft.switch("rollout.eager", f"{engine}.enforce_eager")
    draft.choose("rollout.precision", FP8, f"{engine}.precision")
    draft.choose("rollout.kv_cache_dtype", FP8, f"{engine}.kv_cache_dtype")
    draft.ignore("the plan sets the engine's share of the memory itself", f"{engine}.gpu_memory_utilization")


def training(draft: Draft) -> None:
    """DTensor (FSDP) or Megatron, with degrees, recomputation, LoRA and precision."""
    settings = draft.settings
    on = settings.get("policy.megatron_cfg.enabled")
    if on is not None and on.value is True:
        inner = "policy.megatron_cfg"
        draft.put("train.sharding", "megatron", on)
        common.megatron(draft, inner, ("tensor_model", "pipeline_model", "context", "expert_model"))
        lora, rank = f"{inner}.peft.enabled", f"{inner}.peft.dim"
        draft.switch("train.optimizer_offload", f"{inner}.optimizer.optimizer_cpu_offload")
        draft.choose("train.precision", {True: "fp8"}, f"{inner}.fp8_cfg.enabled")
    else:
        inner = "policy.dtensor_cfg"
        tensor = settings.number(f"{inner}.tensor_parallel_size")
        sharded = settings.get(f"{inner}.enabled")
        if tensor is None or tensor.value == 1:
            draft.put("train.sharding", "fsdp", sharded)
        else:
            draft.put(
                "train.tp", int(tensor.value), tensor, "FSDP with tensor parallelism: sharding is left to the plan"
            )
        draft.take("train.cp", f"{inner}.context_parallel_size")
        draft.switch("train.optimizer_offload", f"{inner}.cpu_offload")
        lora, rank = f"{inner}.lora_cfg.enabled", f"{inner}.lora_cfg.dim"
    draft.choose("train.recompute", RECOMPUTE, f"{inner}.activation_checkpointing")
    if settings.flag(lora):
        draft.take("train.lora_rank", rank)
    packing = draft.switch("train.packing", "policy.sequence_packing.enabled")
    if not packing and not settings.flag("policy.dynamic_batching.enabled"):
        draft.take("train.micro_batch_samples", "policy.train_micro_batch_size")


def _placement(draft: Draft, section: str) -> None:
    settings = draft.settings
    nodes, each = settings.number("cluster.num_nodes"), settings.number("cluster.gpus_per_node")
    total = common.gpus(draft, [(nodes, each)])
    together = settings.get("policy.generation.colocated.enabled")
    if together is None or together.value is not False:
        draft.put("schedule", "colocated", together, "" if together else "NeMo RL's usual placement")
        return
    overlapped = settings.get(f"{section}.async_grpo.enabled", "grpo.async_grpo.enabled")
    is_async = overlapped is not None and overlapped.value is True
    draft.put("schedule", "async" if is_async else "disaggregated", overlapped if is_async else together)
    if is_async:
        age = settings.number("grpo.async_grpo.max_trajectory_age_steps")
        draft.put("staleness_steps", min(int(age.value), 64) if age else None, age)
    resources = "policy.generation.colocated.resources"
    apart, per_node = settings.number(f"{resources}.num_nodes"), settings.number(f"{resources}.gpus_per_node")
    serving = (int(apart.value) if apart else 1) * (int(per_node.value) if per_node else int(each.value) if each else 0)
    if 0 < serving < total:
        draft.put("rollout_share", serving / total, per_node or apart, f"{serving} of {total} GPUs")


def _checkpoints(draft: Draft) -> None:
    settings = draft.settings
    if settings.flag("checkpointing.enabled") is False:
        why = "off in the file; a spec has one at the end"
        last = draft.stage.get("steps", 500)
        draft.put("checkpoint.every_steps", last, settings.get("checkpointing.enabled"), why)
        return
    common.checkpoints(draft, settings.get("checkpointing.save_period"), settings.get("checkpointing.keep_top_k"), 500)


def supervised(draft: Draft, section: str) -> None:
    """Map SFT, DPO and reward models."""
    settings = draft.settings
    draft.model("model", settings.get("policy.model_name"))
    batch = draft.take("global_batch_samples", "policy.train_global_batch_size")
    common.sample_lengths(draft, settings.get("policy.max_total_sequence_length"))
    total = settings.number(f"{section}.max_num_steps")
    stated = total if total is not None and total.value < _MANY else None
    common.training_size(draft, stated, batch, None, settings.number(f"{section}.max_num_epochs", least=1e-9))
    training(draft)
    common.gpus(draft, [(settings.number("cluster.num_nodes"), settings.number("cluster.gpus_per_node"))])
    _checkpoints(draft)
