"""SkyRL: settings of its trainer, generator and SFT.

Names and defaults: SkyRL 0.4, skyrl/train/config (github.com/NovaSky-AI/SkyRL); its older names are read too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.frameworks import common
from clusterctl.frameworks.draft import RECOMPUTE, Draft, rl_steps
from clusterctl.frameworks.launch import LaunchCommand
from clusterctl.frameworks.setting_table import Setting

DEFAULTS: Mapping[str, Any] = {
    "trainer.algorithm.advantage_estimator": "grpo",
    "trainer.train_batch_size": 1024,
    "trainer.policy_mini_batch_size": 256,
    "trainer.epochs": 1,
    "trainer.update_epochs_per_batch": 1,
    "trainer.max_prompt_length": 512,
    "trainer.ckpt_interval": 10,
    "trainer.strategy": "fsdp",
    "trainer.algorithm.use_kl_loss": True,
    "trainer.placement.policy_num_nodes": 1,
    "trainer.placement.policy_num_gpus_per_node": 1,
    "trainer.placement.colocate_all": True,
    "generator.n_samples_per_prompt": 5,
    "generator.sampling_params.max_generate_length": 1024,
    "generator.inference_engine.num_engines": 1,
    "generator.inference_engine.tensor_parallel_size": 1,
    "trainer.fully_async.max_staleness_steps": 4,
}
SFT_DEFAULTS: Mapping[str, Any] = {
    "batch_size": 4,
    "max_length": 512,
    "num_epochs": 1,
    "placement.num_gpus_per_node": 1,
}
ALGORITHMS = {
    "grpo": "grpo", "gae": "ppo", "rloo": "rloo", "reinforce++": "reinforce++", "maxrl": "grpo",
}  # fmt: skip
_POLICY, _ENGINE = "trainer.policy", "generator.inference_engine"


def mapper(launch: LaunchCommand) -> tuple[str, Mapping[str, Any], Callable[[Draft], None]]:
    """The kind of stage, SkyRL's defaults and the mapping of one launch.  Raises SpecError."""
    if "generate" in launch.program:
        raise SpecError(
            f"{launch.where}: {launch.program} only generates: `clusterctl init evaluate` shows such a spec"
        )
    if "sft" in launch.program:
        return "sft", SFT_DEFAULTS, supervised
    return "rlcef", DEFAULTS, reinforcement


def reinforcement(draft: Draft) -> None:
    """Map the settings of SkyRL's trainer."""
    settings = draft.settings
    draft.model("model", settings.get(f"{_POLICY}.model.path"))
    _algorithm(draft)
    prompts = draft.take("prompts_per_step", "trainer.train_batch_size") or 1
    draft.take("samples_per_prompt", "generator.n_samples_per_prompt")
    longest = settings.get("generator.sampling_params.max_generate_length")
    common.lengths(draft, settings.get("trainer.max_prompt_length"), longest)
    epochs = draft.take("epochs_per_step", "trainer.update_epochs_per_batch") or 1
    mini = settings.number("trainer.policy_mini_batch_size")
    if mini is not None and mini.value < prompts:
        updates = max(int(prompts // mini.value), 1) * epochs
        draft.put("optimizer_steps_per_step", updates, mini, f"{prompts} ÷ {mini.value}")
    total = settings.number("trainer.max_training_steps")
    rl_steps(draft, total, settings.number("trainer.epochs", least=1e-9), None, prompts)
    draft.take("turns", "generator.max_turns", least=2, why="the most; the mean of your runs is better")
    _generation(draft)
    _training(draft)
    _placement(draft)
    named = settings.get("environment.env_class")
    common.rewards(
        draft, None, [*([named] if named else []), *settings.under("data."), *settings.under("environment.")]
    )
    keep = settings.get("trainer.max_ckpts_to_keep")
    common.checkpoints(draft, settings.get("trainer.ckpt_interval"), keep, draft.stage["steps"])
    common.evaluation(draft, settings.get("trainer.eval_interval"), settings.get("generator.eval_n_samples_per_prompt"))


def _algorithm(draft: Draft) -> None:
    settings = draft.settings
    found = settings.get("trainer.algorithm.advantage_estimator")
    named = str(found.value).lower() if found else "grpo"
    losses = ("trainer.algorithm.policy_loss_type", "trainer.algorithm.ppo_loss_type")
    sampling = {"filter": "dapo", "replace": "dapo"}
    common.estimator(draft, ALGORITHMS, named, found)
    is_dynamic = draft.choose("algorithm", sampling, "trainer.algorithm.dynamic_sampling.type")
    if not draft.choose("algorithm", {"gspo": "gspo"}, *losses) and is_dynamic:
        draft.put("oversampling", *common.DYNAMIC_SAMPLING)
    kl = settings.get("trainer.algorithm.use_kl_loss")
    on = settings.flag("trainer.algorithm.use_kl_loss") or settings.flag("trainer.algorithm.use_kl_in_reward") or False
    draft.put("reference", on, kl, "a reference model only where a KL term is on")


def _generation(draft: Draft) -> None:
    draft.choose("rollout.engine", {"vllm": "vllm", "sglang": "sglang"}, f"{_ENGINE}.backend", "generator.backend")
    draft.take("rollout.tp", f"{_ENGINE}.tensor_parallel_size", "generator.inference_engine_tensor_parallel_size")
    draft.take("rollout.pp", f"{_ENGINE}.pipeline_parallel_size", least=2)
    draft.switch("rollout.eager", f"{_ENGINE}.enforce_eager", "generator.enforce_eager")
    draft.take("rollout.concurrency", f"{_ENGINE}.max_num_seqs", "generator.max_num_seqs")
    why = "the plan sets the engine's share of the memory itself"
    draft.ignore(why, f"{_ENGINE}.gpu_memory_utilization", "generator.gpu_memory_utilization")


def _training(draft: Draft) -> None:
    settings = draft.settings
    strategy = settings.get("trainer.strategy")
    if strategy is not None and strategy.value == "megatron":
        draft.put("train.sharding", "megatron", strategy)
        common.megatron(
            draft, f"{_POLICY}.megatron_config", ("tensor_model", "pipeline_model", "context", "expert_model")
        )
        offload = f"{_POLICY}.megatron_config.optimizer_config_kwargs.optimizer_cpu_offload"
        draft.switch("train.optimizer_offload", offload)
    else:
        draft.put("train.sharding", "fsdp", strategy)
        draft.take("train.cp", f"{_POLICY}.sequence_parallel_size")
        draft.switch("train.optimizer_offload", f"{_POLICY}.fsdp_config.cpu_offload")
    draft.choose("train.recompute", RECOMPUTE, "trainer.gradient_checkpointing")
    draft.take("train.lora_rank", f"{_POLICY}.model.lora.rank")
    draft.switch("train.packing", "trainer.remove_microbatch_padding", "trainer.use_sample_packing")
    draft.take("train.micro_batch_samples", "trainer.micro_train_batch_size_per_gpu")


def _placement(draft: Draft) -> None:
    settings = draft.settings
    prefix = "trainer.placement.policy"
    trainer = (settings.number(f"{prefix}_num_nodes"), settings.number(f"{prefix}_num_gpus_per_node"))
    together = settings.get("trainer.placement.colocate_all")
    if together is not None and together.value is not False:
        common.gpus(draft, [trainer])
        draft.put("schedule", "colocated", together)
        return
    engines = settings.number(f"{_ENGINE}.num_engines", "generator.num_inference_engines")
    serving = (int(engines.value) if engines else 1) * (draft.stage["rollout"].get("tp") or 1)
    serving *= settings.count(f"{_ENGINE}.data_parallel_size") or 1
    pool = Setting(engines.key, serving, engines.where) if engines else Setting(f"{_ENGINE}.num_engines", serving)
    total = common.gpus(draft, [trainer, (None, pool)])
    overlapped = settings.get("trainer.fully_async.enabled", default=False)
    late = settings.get("trainer.fully_async.max_staleness_steps")
    stated = late is not None and bool(late.where)
    is_async = stated or (overlapped is not None and overlapped.value is True)
    draft.put("schedule", "async" if is_async else "disaggregated", overlapped or together)
    if is_async and late is not None and isinstance(late.value, int) and 0 <= late.value <= 64:
        draft.put("staleness_steps", late.value, late)
    if 0 < serving < total:
        draft.put("rollout_share", serving / total, engines, f"{serving} of {total} GPUs")


def supervised(draft: Draft) -> None:
    """Map the settings of SkyRL's SFT."""
    settings = draft.settings
    draft.model("model", settings.get("model.path"))
    batch = draft.take("global_batch_samples", "batch_size")
    common.sample_lengths(draft, settings.get("max_length"), packed=settings.get("remove_microbatch_padding"))
    common.training_size(draft, settings.number("num_steps"), batch, None, settings.number("num_epochs", least=1e-9))
    common.gpus(draft, [(settings.number("placement.num_nodes"), settings.number("placement.num_gpus_per_node"))])
    if settings.value("strategy") == "megatron":
        draft.put("train.sharding", "megatron", settings.get("strategy"))
        common.megatron(draft, "megatron_config", ("tensor_model", "pipeline_model", "context", "expert_model"))
    else:
        draft.put("train.sharding", "fsdp", settings.get("strategy"), "SkyRL's default")
    draft.take("train.lora_rank", "model.lora.rank")
    draft.take("train.micro_batch_samples", "micro_train_batch_size_per_gpu")
    common.checkpoints(draft, settings.get("ckpt_interval"), settings.get("max_ckpts_to_keep"), 500)
