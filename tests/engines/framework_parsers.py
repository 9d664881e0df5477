"""What a framework's own parser makes of our configuration: run by path in the framework's environment.

Reads a list of {"files": name -> text, "options": command-line words} from stdin, writes a list of what the parser has
understood, in the words of plans, or of {"error": text}.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import runpy
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absent_packages import leave_out

Case = dict[str, Any]


def trl(case: Case) -> Case:
    """TrlParser and its dataclasses; accelerate's own reading of its file."""
    import yaml

    script = importlib.import_module("trl.scripts.grpo")
    config = yaml.safe_load(case["files"]["grpo.yaml"])
    hidden = {name: config.pop(name) for name in ("bf16",)}  # transformers refuses bf16 where there is no GPU
    Path("grpo.yaml").write_text(yaml.safe_dump(config))
    _, args, model, data = script.make_parser().parse_args_and_config(
        ["--config", "grpo.yaml", "--output_dir", "o", "--use_cpu", "true"]
    )
    seen = {
        "weights": model.model_name_or_path,
        "data": data.datasets[0].data_files,
        "samples_per_prompt": args.num_generations,
        "samples": args.generation_batch_size,
        "micro_batch": args.per_device_train_batch_size,
        "accumulation": args.gradient_accumulation_steps,
        "recompute": args.gradient_checkpointing,
        "max_response_tokens": args.max_completion_length,
        "updates": args.max_steps,
        "lora_rank": model.lora_r if model.use_peft else None,
        "reference": args.beta > 0,
        "bf16": hidden["bf16"],
    }
    if "accelerate.yaml" in case["files"]:
        from accelerate.commands.config.config_args import load_config_from_file

        Path("accelerate.yaml").write_text(case["files"]["accelerate.yaml"])
        launch = load_config_from_file("accelerate.yaml")
        seen |= {
            "engine_tp": args.vllm_tensor_parallel_size,
            "engine_memory_share": args.vllm_gpu_memory_utilization,
            "colocated": args.vllm_mode == "colocate",
            "train_nodes": launch.num_machines,
            "train_gpus": launch.num_processes,
            "precision": launch.mixed_precision,
            "zero_stage": (launch.deepspeed_config or {}).get("zero_stage", 3 if launch.fsdp_config else 0),
            "offload": bool((launch.fsdp_config or {}).get("fsdp_offload_params"))
            or (launch.deepspeed_config or {}).get("offload_optimizer_device") == "cpu",
        }
    return seen


def verl(case: Case) -> Case:
    """hydra's composition, verl's dataclasses and its own validation."""
    from hydra import compose, initialize_config_dir
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import omega_conf_to_dataclass, validate_config

    utilities = types.ModuleType("verl.workers.rollout.vllm_rollout.utils")  # whose package wants vllm, so CUDA
    utilities.get_vllm_max_lora_rank = lambda rank: rank  # type: ignore[attr-defined]
    sys.modules[utilities.__name__] = utilities
    Path("run.yaml").write_text(case["files"]["run.yaml"])
    with initialize_config_dir(str(Path.cwd()), version_base=None):
        cfg = compose("run", overrides=case["options"])
    cfg.critic.model.path = tiny_model()  # verl reads the critic's configuration and tokenizer
    validate_config(cfg, use_reference_policy=need_reference_policy(cfg), use_critic=need_critic(cfg))
    part = cfg.actor_rollout_ref
    actor, rollout = omega_conf_to_dataclass(part.actor), omega_conf_to_dataclass(part.rollout)
    megatron = actor.strategy == "megatron"
    engine = actor.megatron if megatron else actor.fsdp_config
    recompute = engine.override_transformer_config.get("recompute_granularity") if megatron else None
    return {
        "sharding": actor.strategy,
        "tp": engine.tensor_model_parallel_size if megatron else 1,
        "pp": engine.pipeline_model_parallel_size if megatron else 1,
        "ep": engine.expert_model_parallel_size if megatron else 1,
        "cp": engine.context_parallel_size if megatron else actor.ulysses_sequence_parallel_size,
        "train_nodes": cfg.trainer.nnodes,
        "gpus_per_node": cfg.trainer.n_gpus_per_node,
        "rollout_nodes": rollout.nnodes or cfg.trainer.nnodes,
        "colocated": cfg.trainer.v1.trainer_mode == "sync",
        "engine": rollout.name,
        "engine_tp": rollout.tensor_model_parallel_size,
        "engine_pp": rollout.pipeline_model_parallel_size,
        "engine_memory_share": rollout.gpu_memory_utilization,
        "engine_fp8": rollout.quantization == "fp8",
        "eager": rollout.enforce_eager,
        "prompts": cfg.data.train_batch_size,
        "samples_per_prompt": rollout.n,
        "mini_batch": actor.ppo_mini_batch_size * rollout.n,
        "micro_batch": actor.ppo_micro_batch_size_per_gpu,
        "recompute": recompute if megatron else part.model.enable_gradient_checkpointing,
        "offload": engine.optimizer_offload,
        "reference": need_reference_policy(cfg),
        "critic": need_critic(cfg),
        "steps": cfg.trainer.total_training_steps,
        "max_response_tokens": cfg.data.max_response_length,
        "lora_rank": part.model.lora_rank or None,
        "sandbox_url": cfg.reward.sandbox_fusion.url,
        "reward_file": cfg.reward.custom_reward_function.path,
    }


def tiny_model() -> str:
    """A folder with a model's configuration and a tokenizer."""
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    LlamaConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, vocab_size=2, architectures=["LlamaForCausalLM"]
    ).save_pretrained("tiny")
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="b", pad_token="b").save_pretrained("tiny")
    return str(Path.cwd() / "tiny")


def openrlhf(case: Case) -> Case:
    """Its argparse and the checks after it; stopped where Ray would start."""
    caught: list[Any] = []

    class Parsed(BaseException):
        pass

    def stop(args: Any) -> None:
        caught.append(args)
        raise Parsed

    leave_out("vllm", "flash_attn", "ring_flash_attn")
    import ray

    def start(*_: object, **__: object) -> None:
        stop(sys._getframe(1).f_locals["args"])

    ray.init, ray.is_initialized = start, lambda: False
    sys.argv = ["train_ppo_ray", *case["options"]]
    with contextlib.suppress(Parsed):
        runpy.run_module("openrlhf.cli.train_ppo_ray", run_name="__main__")
    (args,) = caught
    zero = args.ds.zero_stage
    return {
        "train_nodes": args.actor.num_nodes,
        "gpus_per_node": args.actor.num_gpus_per_node,
        "sharding": {3: "fsdp", 2: "zero2", 1: "zero1"}[zero],
        "cp": args.ds.ring_attn_size,
        "tp": args.ds.tensor_parallel_size,
        "engines": args.vllm.num_engines,
        "engine_tp": args.vllm.tensor_parallel_size,
        "engine_memory_share": args.vllm.gpu_memory_utilization,
        "eager": args.vllm.enforce_eager,
        "colocated": args.train.colocate_all and not args.train.async_enable,
        "async": args.train.async_enable,
        "prompts": args.rollout.batch_size,
        "samples_per_prompt": args.rollout.n_samples_per_prompt,
        "mini_batch": args.train.batch_size,
        "micro_batch": args.train.micro_batch_size,
        "recompute": args.actor.gradient_checkpointing_enable,
        "offload": args.ds.adam_offload,
        "reference": args.algo.kl.init_coef > 0,
        "critic": args.critic.model_name_or_path is not None,
        "max_response_tokens": args.rollout.max_new_tokens,
        "lora_rank": args.ds.lora.rank or None,
        "precision": args.ds.param_dtype,
    }


def skyrl(case: Case) -> Case:
    """Its typed configuration, which refuses keys that it doesn't know."""
    from skyrl.train.config import SkyRLTrainConfig
    from skyrl.train.utils import validate_cfg

    cfg = SkyRLTrainConfig.from_cli_overrides(case["options"])
    validate_cfg(cfg)
    trainer, engine = cfg.trainer, cfg.generator.inference_engine
    megatron = trainer.policy.megatron_config if trainer.strategy == "megatron" else None
    return {
        "sharding": trainer.strategy,
        "tp": megatron.tensor_model_parallel_size if megatron else 1,
        "pp": megatron.pipeline_model_parallel_size if megatron else 1,
        "cp": megatron.context_parallel_size if megatron else trainer.policy.sequence_parallel_size,
        "ep": megatron.expert_model_parallel_size if megatron else 1,
        "train_nodes": trainer.placement.policy_num_nodes,
        "gpus_per_node": trainer.placement.policy_num_gpus_per_node,
        "colocated": trainer.placement.colocate_all,
        "async": trainer.fully_async.enabled,
        "engines": engine.num_engines,
        "engine_tp": engine.tensor_parallel_size,
        "engine_pp": engine.pipeline_parallel_size,
        "engine_memory_share": engine.gpu_memory_utilization,
        "eager": engine.enforce_eager,
        "prompts": trainer.train_batch_size,
        "samples_per_prompt": cfg.generator.n_samples_per_prompt,
        "mini_batch": trainer.policy_mini_batch_size * cfg.generator.n_samples_per_prompt,
        "micro_batch": trainer.micro_train_batch_size_per_gpu,
        "recompute": trainer.gradient_checkpointing,
        "offload": trainer.policy.fsdp_config.cpu_offload,
        "reference": trainer.algorithm.use_kl_loss,
        "critic": trainer.algorithm.advantage_estimator == "gae",
        "steps": trainer.max_training_steps,
        "max_response_tokens": cfg.generator.sampling_params.max_generate_length,
        "lora_rank": trainer.policy.model.lora.rank or None,
    }


PARSERS: dict[str, Callable[[Case], Case]] = {"trl": trl, "verl": verl, "openrlhf": openrlhf, "skyrl": skyrl}


def main() -> None:
    """All cases by one parser: importing it takes longer than parsing."""
    parse, cases = PARSERS[sys.argv[1]], json.load(sys.stdin)
    answers = []
    for case in cases:
        os.chdir(tempfile.mkdtemp())
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                answers.append(parse(case))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a parser raises is its answer
            answers.append({"error": f"{type(error).__name__}: {error} {said.getvalue()[-600:]}"})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
