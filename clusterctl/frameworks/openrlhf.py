"""OpenRLHF: flags of its trainers, dotted since 0.11 (`--actor.num_nodes`) and with underscores before.

Names and defaults: OpenRLHF 0.9 and 0.11, openrlhf/cli/train_*.py (github.com/OpenRLHF/OpenRLHF).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clusterctl.errors import SpecError
from clusterctl.frameworks import common
from clusterctl.frameworks.draft import Draft, Note, rl_steps
from clusterctl.frameworks.launch import LaunchCommand
from clusterctl.frameworks.setting_table import Setting

DEFAULTS: Mapping[str, Any] = {
    "rollout_batch_size": 1024,
    "train_batch_size": 128,
    "n_samples_per_prompt": 1,
    "max_epochs": 1,
    "num_episodes": 1,
    "prompt_max_len": 1024,
    "zero_stage": 2,
    "advantage_estimator": "gae",
    "init_kl_coef": 0.01,
    "vllm_tensor_parallel_size": 1,
}
SFT_DEFAULTS: Mapping[str, Any] = {"train_batch_size": 128, "max_epochs": 2, "max_len": 2048, "zero_stage": 2}
ALGORITHMS = {
    "gae": "ppo", "group_norm": "grpo", "dr_grpo": "grpo", "rloo": "rloo", "reinforce": "reinforce++",
    "reinforce_baseline": "reinforce++",
}  # fmt: skip
_KINDS = {
    "train_ppo_ray": "rlcef", "train_ppo": "rlcef", "train_sft": "sft", "train_rm": "reward-model",
    "train_dpo": "dpo", "train_kto": "dpo",
}  # fmt: skip
ZERO = {0: "ddp", 1: "zero1", 2: "zero2", 3: "zero3"}
_ROLES = ("actor", "critic", "ref", "reward")


def mapper(launch: LaunchCommand) -> tuple[str, Mapping[str, Any], Callable[[Draft], None]]:
    """The kind of stage, OpenRLHF's defaults and the mapping of one launch.  Raises SpecError."""
    kind = _KINDS.get(launch.program or "train_ppo_ray")
    if kind is None:
        known = ", ".join(sorted(_KINDS))
        raise SpecError(f"{launch.where}: {launch.program} is a trainer that no spec describes", hint=f"known: {known}")
    if kind == "rlcef":
        return kind, DEFAULTS, reinforcement
    return kind, SFT_DEFAULTS, supervised


def reinforcement(draft: Draft) -> None:
    """Map the flags of train_ppo_ray."""
    settings = draft.settings
    draft.model("model", settings.get("actor.model_name_or_path", "pretrain"))
    _algorithm(draft)
    prompts = draft.take("prompts_per_step", "rollout.batch_size", "rollout_batch_size") or 1024
    group = draft.take("samples_per_prompt", "rollout.n_samples_per_prompt", "n_samples_per_prompt") or 1
    _lengths(draft)
    epochs = draft.take("epochs_per_step", "train.max_epochs", "max_epochs") or 1
    batch = settings.number("train.batch_size", "train_batch_size")
    if batch is not None and prompts * group > batch.value:
        updates = int(prompts * group // batch.value) * epochs
        draft.put("optimizer_steps_per_step", updates, batch, f"{prompts} × {group} ÷ {batch.value}")
    episodes = settings.number("train.num_episodes", "num_episodes", least=1e-9)
    most = settings.count("data.max_samples", "max_samples")
    rl_steps(draft, None, episodes, most if most and most < 10**8 else None, prompts)
    _generation(draft)
    training(draft, model="actor")
    _placement(draft)
    common.judge(draft, "reward model", settings.get("reward.model_name_or_path", "reward_pretrain"))
    urls = ("reward.remote_url", "remote_rm_url", "train.agent_func_path", "agent_func_path")
    remote = settings.get(*urls)
    common.rewards(draft, remote if remote and common.CODE.search(str(remote.value)) else None, settings.under("data."))
    _schedule_of_files(draft)


def _algorithm(draft: Draft) -> None:
    settings = draft.settings
    found = settings.get("algo.advantage.estimator", "advantage_estimator")
    named = str(found.value) if found else "gae"
    common.estimator(draft, ALGORITHMS, named, found)
    filtering = ("algo.dynamic_filtering_enable", "dynamic_filtering")
    is_gspo = draft.choose("algorithm", {"gspo": "gspo"}, "actor.policy_loss_type", "policy_loss_type")
    if not is_gspo and draft.choose("algorithm", {True: "dapo"}, *filtering):
        draft.put("oversampling", *common.DYNAMIC_SAMPLING)
    common.reference(draft, settings.get("algo.kl.init_coef", "init_kl_coef"))


def _lengths(draft: Draft) -> None:
    settings = draft.settings
    prompt = settings.get("prompt_max_len", "data.prompt_max_len")
    response = settings.get("rollout.max_new_tokens", "generate_max_len", "data.generate_max_len")
    whole = settings.get("data.max_len", "max_len", default=False)
    common.lengths(draft, prompt, response)
    if response is None and whole is not None and isinstance(whole.value, int) and whole.value > 1:
        longest = max(whole.value - common.TYPICAL_PROMPT_TOKENS, whole.value // 2)
        draft.put("max_response_tokens", longest, whole, "prompt and answer together; the prompt's part is assumed")
    elif response is None:
        draft.put("max_response_tokens", 1024, None, "OpenRLHF's default")


def _generation(draft: Draft) -> None:
    settings = draft.settings
    draft.put(
        "rollout.engine", "vllm", settings.get("vllm.num_engines", "vllm_num_engines"), "OpenRLHF generates by vLLM"
    )
    draft.take("rollout.tp", "vllm.tensor_parallel_size", "vllm_tensor_parallel_size")
    draft.switch("rollout.eager", "vllm.enforce_eager", "enforce_eager")
    why = "the plan sets the engine's share of the memory itself"
    draft.ignore(why, "vllm.gpu_memory_utilization", "vllm_gpu_memory_utilization")


def training(draft: Draft, model: str) -> None:
    """DeepSpeed's ZeRO stage, sequence parallelism, recomputation and LoRA."""
    settings = draft.settings
    stage = settings.get("ds.zero_stage", "zero_stage")
    draft.put("train.sharding", ZERO.get(stage.value) if stage and isinstance(stage.value, int) else None, stage)
    draft.take("train.cp", "ds.ring_attn_size", "ring_attn_size")
    draft.take("train.tp", "ds.tensor_parallel_size", "ds_tensor_parallel_size", least=2)
    draft.choose("train.recompute", {True: "full"}, f"{model}.gradient_checkpointing_enable", "gradient_checkpointing")
    draft.take("train.lora_rank", "ds.lora.rank", "lora_rank")
    draft.switch("train.packing", "ds.packing_samples", "packing_samples")
    draft.switch("train.optimizer_offload", "ds.adam_offload", "adam_offload")
    if settings.flag("train.dynamic_batch_enable", "use_dynamic_batch"):
        draft.ignore("micro batches follow from the tokens per GPU", "train.dynamic_batch_enable", "use_dynamic_batch")
    else:
        draft.take("train.micro_batch_samples", "train.micro_batch_size", "micro_train_batch_size")


def _pool(draft: Draft, role: str) -> tuple[Setting | None, Setting | None]:
    names = ("num_nodes", "num_gpus_per_node")
    nodes, each = (draft.settings.number(f"{role}.{name}", f"{role}_{name}") for name in names)
    return nodes, each


def _size(pool: tuple[Setting | None, Setting | None]) -> int:
    nodes, each = pool
    return (int(nodes.value) if nodes else 1) * (int(each.value) if each else 8)


def _placement(draft: Draft) -> None:
    """Which roles have GPUs of their own: OpenRLHF checks the layout only once Ray is up, so it is checked here."""
    settings = draft.settings
    pools = {role: _pool(draft, role) for role in _ROLES}
    actor = pools["actor"] if pools["actor"][1] else (pools["actor"][0], Setting("actor.num_gpus_per_node", 8))
    engines = settings.number("vllm.num_engines", "vllm_num_engines")
    degree = settings.count("vllm.tensor_parallel_size", "vllm_tensor_parallel_size") or 1
    serving = int(engines.value) * degree if engines else 0
    together = settings.get("train.colocate_all", "colocate_all_models", default=False)
    asynchronous = settings.get("train.async_enable", "async_train", default=False)
    is_async = asynchronous is not None and asynchronous.value is True
    shared = together is not None and together.value is True and not is_async
    if shared:
        draft.put("schedule", "colocated", together)
        if engines is not None and serving != _size(actor):
            why = (
                f"{int(engines.value)} engines × tp {degree} = {serving} GPUs, but the actor has {_size(actor)}: "
                "roles that are colocated have the same GPUs"
            )
            draft.notes.append(Note("refused", engines.where, engines.key, "", why))
        common.gpus(draft, [actor])
        return
    own = [actor]
    if not settings.flag("train.colocate_actor_ref", "colocate_actor_ref") and not (
        together and together.value is True
    ):
        own += [pools["ref"]] if pools["ref"][1] and draft.stage.get("reference", True) else []
    if draft.stage.get("algorithm") == "ppo" and pools["critic"][1] and not (together and together.value is True):
        own.append(pools["critic"])
    if (
        pools["reward"][1]
        and not settings.flag("train.colocate_critic_reward", "colocate_critic_reward")
        and not (together and together.value is True)
    ):
        own.append(pools["reward"])
    trainers = sum(_size(pool) for pool in own)
    if engines is None or not serving:
        common.gpus(draft, own)
        return
    serve = Setting(engines.key, serving, engines.where)
    total = common.gpus(draft, [*own, (None, serve)])
    draft.put("schedule", "async" if is_async else "disaggregated", asynchronous if is_async else engines)
    if total > trainers:
        draft.put("rollout_share", serving / total, engines, f"{serving} of {total} GPUs")


def _schedule_of_files(draft: Draft) -> None:
    settings = draft.settings
    keep = settings.get("ckpt.max_num", "max_ckpt_num")
    common.checkpoints(draft, settings.get("ckpt.save_steps", "save_steps"), keep, draft.stage.get("steps", 500))
    if draft.kind == "rlcef":
        samples = settings.get("eval.n_samples_per_prompt", "eval_n_samples_per_prompt")
        common.evaluation(draft, settings.get("eval.steps", "eval_steps"), samples)


def supervised(draft: Draft) -> None:
    """Map the flags of train_sft, train_rm, train_dpo and train_kto."""
    settings = draft.settings
    draft.model("model", settings.get("model.model_name_or_path", "pretrain"))
    batch = draft.take("global_batch_samples", "train.batch_size", "train_batch_size")
    common.sample_lengths(draft, settings.get("data.max_len", "max_len"))
    most = settings.number("data.max_samples", "max_samples")
    known = most if most is not None and most.value < 10**8 else None
    common.training_size(draft, None, batch, known, settings.number("train.max_epochs", "max_epochs", least=1e-9))
    training(draft, model="model")
    per_node = settings.number("launcher.nproc_per_node", "launcher.num_gpus")
    common.gpus(draft, [(settings.number("launcher.nnodes", "launcher.num_nodes"), per_node)])
    _schedule_of_files(draft)
