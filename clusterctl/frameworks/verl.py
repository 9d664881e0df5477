"""verl: Hydra settings of its PPO trainer (also asynchronous) and of its SFT trainers.

Names and defaults: verl 0.7 and 0.9, verl/trainer/config (github.com/volcengine/verl).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.frameworks import common
from clusterctl.frameworks.draft import FP8, RECOMPUTE, Draft, rl_steps
from clusterctl.frameworks.launch import LaunchCommand

DEFAULTS: Mapping[str, Any] = {
    "algorithm.adv_estimator": "gae",
    "data.train_batch_size": 1024,
    "data.max_prompt_length": 512,
    "data.max_response_length": 512,
    "actor_rollout_ref.rollout.n": 1,
    "actor_rollout_ref.actor.ppo_mini_batch_size": 256,
    "actor_rollout_ref.actor.ppo_epochs": 1,
    "actor_rollout_ref.rollout.tensor_model_parallel_size": 2,
    "trainer.nnodes": 1,
    "trainer.n_gpus_per_node": 8,
    "trainer.total_epochs": 30,
}
SFT_DEFAULTS: Mapping[str, Any] = {"data.train_batch_size": 256, "data.max_length": 1024, "trainer.total_epochs": 4}

ALGORITHMS = {
    "gae": "ppo", "grpo": "grpo", "rloo": "rloo", "reinforce_plus_plus": "reinforce++",
    "reinforce_plus_plus_baseline": "reinforce++", "grpo_vectorized": "grpo", "rloo_vectorized": "rloo",
}  # fmt: skip
ENGINES = {"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm", "hf": "hf"}
_ACTOR, _ROLLOUT, _MODEL = "actor_rollout_ref.actor", "actor_rollout_ref.rollout", "actor_rollout_ref.model"
_MEMORY = "the plan sets the engine's share of the memory itself"


def mapper(launch: LaunchCommand) -> tuple[str, Mapping[str, Any], Callable[[Draft], None]]:
    """The kind of stage, verl's defaults and the mapping of one launch.  Raises SpecError."""
    if "gener" in launch.program or "eval" in launch.program:
        raise SpecError(
            f"{launch.where}: {launch.program} only generates: `clusterctl init evaluate` shows such a spec"
        )
    is_rl = any(key.startswith(("actor_rollout_ref.", "algorithm.")) for key in launch.settings)
    if "sft" in launch.program or "model.partial_pretrain" in launch.settings or not (launch.program or is_rl):
        return "sft", SFT_DEFAULTS, supervised
    return "rlcef", DEFAULTS, reinforcement


def reinforcement(draft: Draft) -> None:
    """Map the settings of verl's PPO trainer."""
    settings = draft.settings
    draft.model("model", settings.get(f"{_MODEL}.path"))
    _algorithm(draft)
    asynchronous = settings.get("rollout.total_rollout_steps")
    prompts = draft.take("prompts_per_step", "data.train_batch_size")
    mini = settings.count(f"{_ACTOR}.ppo_mini_batch_size") or 1
    if asynchronous is not None or prompts is None:
        prompts = _asynchronous_prompts(draft, mini)
    draft.take("samples_per_prompt", f"{_ROLLOUT}.n")
    common.lengths(draft, settings.get("data.max_prompt_length"), settings.get("data.max_response_length"))
    epochs = draft.take("epochs_per_step", f"{_ACTOR}.ppo_epochs") or 1
    if mini < prompts:
        found = settings.get(f"{_ACTOR}.ppo_mini_batch_size")
        draft.put("optimizer_steps_per_step", max(prompts // mini, 1) * epochs, found, f"{prompts} ÷ {mini}")
    read = settings.number("data.train_max_samples")
    if asynchronous is not None and isinstance(asynchronous.value, int) and asynchronous.value > 0:
        draft.put("steps", max(asynchronous.value // prompts, 1), asynchronous, f"÷ {prompts} prompts per step")
    else:
        total = settings.number("trainer.total_training_steps")
        limit = int(read.value) if read else None
        rl_steps(draft, total, settings.number("trainer.total_epochs", least=1e-9), limit, prompts)
    _generation(draft)
    _training(draft)
    _placement(draft)
    _scoring(draft)
    steps = draft.stage["steps"]
    keep = settings.get("trainer.max_actor_ckpt_to_keep")
    common.checkpoints(draft, settings.get("trainer.save_freq"), keep, steps)
    common.evaluation(draft, settings.get("trainer.test_freq"), settings.get(f"{_ROLLOUT}.val_kwargs.n"))


def _algorithm(draft: Draft) -> None:
    settings = draft.settings
    found = settings.get("algorithm.adv_estimator")
    named = str(found.value).lower() if found else "gae"
    common.estimator(draft, ALGORITHMS, named, found)
    if draft.choose("algorithm", {True: "dapo"}, "algorithm.filter_groups.enable", why="dynamic sampling"):
        draft.put("oversampling", *common.DYNAMIC_SAMPLING)
    else:
        draft.choose("algorithm", {"gspo": "gspo"}, f"{_ACTOR}.policy_loss.loss_mode")
    kl = settings.get(f"{_ACTOR}.use_kl_loss", "algorithm.use_kl_in_reward", default=False)
    if kl is not None:
        in_reward, in_loss = settings.flag("algorithm.use_kl_in_reward"), settings.flag(f"{_ACTOR}.use_kl_loss")
        draft.put("reference", bool(in_reward or in_loss), kl, "a reference model only where a KL term is on")
    draft.switch("critic", "critic.enable")


def _asynchronous_prompts(draft: Draft, mini: int) -> int:
    """Prompts between two weight syncs of the fully asynchronous trainer: its steps have no batch of their own."""
    settings = draft.settings
    batches = settings.count("async_training.require_batches") or 1
    every = settings.count("async_training.trigger_parameter_sync_step") or 1
    found = settings.get("async_training.trigger_parameter_sync_step") or settings.get(f"{_ACTOR}.ppo_mini_batch_size")
    prompts = mini * batches * every
    draft.put("prompts_per_step", prompts, found, f"{mini} × {batches} batches × {every} between two weight syncs")
    return prompts


def _generation(draft: Draft) -> None:
    settings = draft.settings
    draft.choose("rollout.engine", ENGINES, f"{_ROLLOUT}.name")
    draft.take("rollout.tp", f"{_ROLLOUT}.tensor_model_parallel_size")
    draft.take("rollout.pp", f"{_ROLLOUT}.pipeline_model_parallel_size")
    draft.switch("rollout.eager", f"{_ROLLOUT}.enforce_eager")
    draft.take("rollout.concurrency", f"{_ROLLOUT}.max_num_seqs")
    draft.choose("rollout.precision", FP8, f"{_ROLLOUT}.quantization")
    draft.ignore(_MEMORY, f"{_ROLLOUT}.gpu_memory_utilization")
    if settings.flag(f"{_ROLLOUT}.multi_turn.enable"):
        keys = (f"{_ROLLOUT}.multi_turn.max_assistant_turns", f"{_ROLLOUT}.multi_turn.max_turns")
        turns = settings.count(*keys)
        found = settings.get(*keys) or settings.get(f"{_ROLLOUT}.multi_turn.enable")
        draft.put("turns", turns or 2, found if turns else None, "the most; the mean of your runs is better")
    if settings.flag(f"{_ROLLOUT}.calculate_log_probs") and settings.flag("async_training.use_rollout_log_probs"):
        draft.put("old_log_prob", "rollout", settings.get("async_training.use_rollout_log_probs"))


def _training(draft: Draft) -> None:
    settings = draft.settings
    strategy = settings.get(f"{_ACTOR}.strategy", default=False)
    degrees = {
        "tp": f"{_ACTOR}.megatron.tensor_model_parallel_size",
        "pp": f"{_ACTOR}.megatron.pipeline_model_parallel_size",
        "cp": f"{_ACTOR}.megatron.context_parallel_size",
        "ep": f"{_ACTOR}.megatron.expert_model_parallel_size",
    }
    megatron = any(settings.get(key, default=False) for key in degrees.values())
    megatron = megatron or (strategy is not None and strategy.value == "megatron")
    if megatron:
        stated = next((one for key in degrees.values() if (one := settings.get(key, default=False))), strategy)
        draft.put("train.sharding", "megatron", stated, "Megatron's settings are stated")
        for name, key in degrees.items():
            draft.take(f"train.{name}", key)
    else:
        draft.put("train.sharding", "fsdp", strategy, "" if strategy else "verl's default strategy")
        draft.take("train.cp", f"{_ACTOR}.ulysses_sequence_parallel_size")
    offload = f"{_ACTOR}.megatron.optimizer_offload" if megatron else f"{_ACTOR}.fsdp_config.optimizer_offload"
    draft.ignore(
        "the optimizer waits in host memory while the engine generates: the plan counts that as colocated", offload
    )
    if not megatron:
        draft.choose("train.recompute", RECOMPUTE, f"{_MODEL}.enable_gradient_checkpointing")
    granularity = f"{_ACTOR}.megatron.override_transformer_config.recompute_granularity"
    draft.choose("train.recompute", {"full": "full", "selective": "selective"}, granularity)
    draft.take("train.lora_rank", f"{_MODEL}.lora_rank", f"{_MODEL}.lora.rank")
    draft.switch("train.packing", f"{_MODEL}.use_remove_padding")
    draft.switch("train.compile", f"{_ACTOR}.use_torch_compile")
    if settings.flag(f"{_ACTOR}.use_dynamic_bsz"):
        draft.ignore("micro batches follow from the tokens per GPU", f"{_ACTOR}.use_dynamic_bsz")
    else:
        draft.take("train.micro_batch_samples", f"{_ACTOR}.ppo_micro_batch_size_per_gpu")


def _placement(draft: Draft) -> None:
    settings = draft.settings
    trainer = (settings.number("trainer.nnodes"), settings.number("trainer.n_gpus_per_node"))
    apart = settings.number("rollout.n_gpus_per_node")
    hybrid = settings.get("actor_rollout_ref.hybrid_engine", default=False)
    if apart is None or (hybrid is not None and hybrid.value is True):
        common.gpus(draft, [trainer])
        draft.put("schedule", "colocated", hybrid, "verl's engine and trainer take turns on the same GPUs")
        return
    generator = (settings.number("rollout.nnodes"), apart)
    total = common.gpus(draft, [trainer, generator])
    draft.put("schedule", "async", apart, "GPUs of its own for generation, overlapped with training")
    each = int(apart.value) * (settings.count("rollout.nnodes") or 1)
    if 0 < each < total:
        draft.put("rollout_share", each / total, apart, f"{each} of {total} GPUs")
    late = settings.number("async_training.staleness_threshold", least=0)
    if late is not None:
        draft.put("staleness_steps", 1 + int(late.value), late, "rounded up: one step is generated ahead")


def _scoring(draft: Draft) -> None:
    settings = draft.settings
    if settings.flag("reward_model.enable") or settings.flag("reward.reward_model.enable"):
        path = ("reward_model.model.path", "reward_model.path", "reward.reward_model.model_path")
        common.judge(draft, "reward model", settings.get(*path))
    urls = ("reward_model.sandbox_fusion.url", "reward.sandbox_fusion.url")
    texts = [*settings.under("data."), *settings.under("reward"), *settings.under("custom_reward_function")]
    tools = settings.by_key.get(f"{_ROLLOUT}.multi_turn.tool_config_path")  # also one below a folder that a run knows
    sandbox = tools if tools is not None and common.CODE.search(str(tools.value)) else None
    common.rewards(draft, settings.get(*urls) or sandbox, texts)


def supervised(draft: Draft) -> None:
    """Map the settings of verl's SFT trainers."""
    settings = draft.settings
    draft.model("model", settings.get("model.partial_pretrain", "model.path"))
    batch = draft.take("global_batch_samples", "data.train_batch_size")
    common.sample_lengths(draft, settings.get("data.max_length"))
    steps, epochs = settings.number("trainer.total_training_steps"), settings.number("trainer.total_epochs", least=1e-9)
    common.training_size(draft, steps, batch, settings.number("data.train_max_samples"), epochs)
    per_node = settings.number("launcher.nproc_per_node", "trainer.n_gpus_per_node")
    common.gpus(draft, [(settings.number("launcher.nnodes", "trainer.nnodes"), per_node)])
    draft.take("train.lora_rank", "model.lora_rank")
    draft.take("train.cp", "ulysses_sequence_parallel_size", "engine.ulysses_sequence_parallel_size")
    draft.take("train.micro_batch_samples", "data.micro_batch_size_per_gpu")
    draft.switch("train.packing", "use_remove_padding", "model.use_remove_padding")
    common.checkpoints(draft, settings.get("trainer.save_freq"), settings.get("trainer.max_ckpt_to_keep"), 500)
