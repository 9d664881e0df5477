"""Configurations of each framework become specs; each field is traced to its line, or marked as assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clusterctl.errors import SpecError
from clusterctl.frameworks.convert import Converted, convert
from clusterctl.specfile.spec_file import check_spec
from clusterctl.specfile.yaml_file import parse_yaml

VERL = """\
#!/bin/bash
MODEL=${MODEL:-/models/Qwen3-8B}
NNODES=2
len=$((1024 * 4))
python3 -m verl.trainer.main_ppo \\
    algorithm.adv_estimator=grpo \\
    data.train_batch_size=512 data.max_prompt_length=1024 data.max_response_length=$len \\
    actor_rollout_ref.model.path="$MODEL" \\
    actor_rollout_ref.actor.ppo_mini_batch_size=128 \\
    actor_rollout_ref.actor.use_kl_loss=False \\
    actor_rollout_ref.rollout.name=vllm actor_rollout_ref.rollout.n=8 \\
    actor_rollout_ref.rollout.tensor_model_parallel_size=2 \\
    actor_rollout_ref.rollout.gpu_memory_utilization=0.6 \\
    reward_model.sandbox_fusion.url=http://sandbox:8080/run_code \\
    trainer.n_gpus_per_node=8 trainer.nnodes=$NNODES trainer.save_freq=20 trainer.test_freq=-1 \\
    trainer.total_epochs=3 "$@"
"""
OPENRLHF = """\
ray job submit --address="http://127.0.0.1:8265" -- python3 -m openrlhf.cli.train_ppo_ray \\
   --actor_num_nodes 1 --actor_num_gpus_per_node 4 --critic_num_nodes 1 --critic_num_gpus_per_node 2 \\
   --vllm_num_engines 2 --vllm_tensor_parallel_size 2 \\
   --pretrain meta-llama/Llama-3.1-8B-Instruct --reward_pretrain OpenRLHF/Llama-3-8b-rm-mixture \\
   --rollout_batch_size 256 --train_batch_size 64 --n_samples_per_prompt 2 \\
   --prompt_max_len 512 --generate_max_len 1024 --max_samples 25600 --zero_stage 3 --adam_offload \\
   --colocate_actor_ref --gradient_checkpointing
"""
TRL = """\
model_name_or_path: Qwen/Qwen2.5-Coder-7B
reward_funcs: [exec_reward.passes]
per_device_train_batch_size: 4
gradient_accumulation_steps: 8
num_generations: 16
max_completion_length: 2048
num_processes: 8
max_steps: 200
use_vllm: true
vllm_mode: colocate
beta: 0.04
"""
SKYRL = """\
: "${GPUS:=4}"
uv run --isolated --extra megatron -m skyrl.train.entrypoints.main_base \\
  trainer.policy.model.path="Qwen/Qwen3-30B-A3B" trainer.strategy=megatron \\
  trainer.policy.megatron_config.tensor_model_parallel_size=4 \\
  trainer.policy.megatron_config.expert_model_parallel_size=8 \\
  trainer.placement.colocate_all=false trainer.placement.policy_num_gpus_per_node=$GPUS \\
  trainer.placement.policy_num_nodes=2 generator.inference_engine.num_engines=2 \\
  generator.inference_engine.tensor_parallel_size=4 trainer.train_batch_size=64 \\
  trainer.policy_mini_batch_size=64 generator.n_samples_per_prompt=8 generator.max_turns=6 \\
  environment.env_class=text2sql trainer.epochs=2
"""
NEMO_PARENT = """\
grpo: {num_prompts_per_step: 32, num_generations_per_prompt: 16, max_num_epochs: 1, max_num_steps: 1000000, val_period: 10}
loss_fn: {reference_policy_kl_penalty: 0.01}
policy:
  model_name: Qwen/Qwen2.5-1.5B
  max_total_sequence_length: 512
  train_global_batch_size: 512
  generation: {backend: vllm, max_new_tokens: "${policy.max_total_sequence_length}", vllm_cfg: {tensor_parallel_size: 1}}
  megatron_cfg: {enabled: false, tensor_model_parallel_size: 1, pipeline_model_parallel_size: 1}
  dtensor_cfg: {enabled: true, tensor_parallel_size: 1, context_parallel_size: 1}
cluster: {gpus_per_node: 1, num_nodes: 1}
"""
NEMO = """\
defaults: parent.yaml
grpo: {max_num_steps: 300}
policy:
  model_name: meta-llama/Llama-3.1-8B-Instruct
  max_total_sequence_length: 4096
  megatron_cfg: {enabled: true, tensor_model_parallel_size: 2, pipeline_model_parallel_size: 2}
cluster: {gpus_per_node: 8, num_nodes: 2}
"""
TITAN = """\
[model]
name = "llama3"
flavor = "8B"
[training]
local_batch_size = 2
seq_len = 8192   # tokens
steps = 1000
[parallelism]
data_parallel_shard_degree = 4
tensor_parallel_degree = 2
[activation_checkpoint]
mode = "selective"
[checkpoint]
enable = true
interval = 250
"""


def converted(tmp_path: Path, name: str, text: str) -> tuple[Converted, dict[str, Any]]:
    """The conversion, and the stage and the fleet as the spec's own reader has them."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = convert(tmp_path / name)
    document = parse_yaml(found.text, name=name)
    check_spec(document)
    return found, document.data


def holds(data: dict[str, Any], expected: dict[str, Any]) -> None:
    stage = data["stages"][0] | {f"fleet.{key}": value for key, value in data.get("fleet", {}).items()}
    flat = stage | {
        f"{key}.{k}": v for key, value in stage.items() if isinstance(value, dict) for k, v in value.items()
    }
    assert {key: flat.get(key) for key in expected} == expected


def test_verl(tmp_path: Path) -> None:
    found, data = converted(tmp_path, "run.sh", VERL)
    holds(
        data,
        {
            "kind": "rlcef",
            "framework": "verl",
            "model": "Qwen/Qwen3-8B",
            "algorithm": "grpo",
            "reference": False,
            "prompts_per_step": 512,
            "samples_per_prompt": 8,
            "max_response_tokens": 4096,
            "optimizer_steps_per_step": 4,
            "prompt_tokens.max": 1024,
            "rollout.tp": 2,
            "rollout.engine": "vllm",
            "train.sharding": "fsdp",
            "schedule": "colocated",
            "sandbox.profile": "judge",
            "checkpoint.every_steps": 20,
            "evaluate": None,
            "fleet.num_gpus": 16,
        },
    )
    notes = {note.field: note for note in found.notes if note.field}
    assert (notes["model"].what, notes["model"].where.rpartition("/")[2]) == ("taken", "run.sh:8")
    assert (notes["steps"].what, "3 × the prompts of your data ÷ 512" in notes["steps"].why) == ("assumed", True)
    assert "# run.sh:7 data.train_batch_size" in found.text
    ignored = {note.setting: note for note in found.notes if note.what == "ignored"}
    assert "share of the memory" in ignored["actor_rollout_ref.rollout.gpu_memory_utilization"].why


def test_openrlhf_with_old_and_dotted_flags(tmp_path: Path) -> None:
    expected = {
        "framework": "openrlhf",
        "algorithm": "ppo",
        "prompts_per_step": 256,
        "samples_per_prompt": 2,
        "steps": 100,
        "optimizer_steps_per_step": 8,
        "rollout.tp": 2,
        "train.sharding": "zero3",
        "train.optimizer_offload": True,
        "train.recompute": "full",
        "schedule": "disaggregated",
        "rollout_share": 0.4,
        "fleet.num_gpus": 10,
    }
    _, old = converted(tmp_path, "old.sh", OPENRLHF)
    holds(old, expected)
    assert old["stages"][0]["judges"][0]["model"] == "meta-llama/Llama-3.1-8B"
    new = OPENRLHF
    for before, after in {
        "actor_num_": "actor.num_",
        "critic_num_": "critic.num_",
        "vllm_num_engines": "vllm.num_engines",
        "vllm_tensor": "vllm.tensor",
        "--pretrain": "--actor.model_name_or_path",
        "reward_pretrain": "reward.model_name_or_path",
        "rollout_batch_size": "rollout.batch_size",
        "train_batch_size": "train.batch_size",
        "n_samples_per_prompt": "rollout.n_samples_per_prompt",
        "generate_max_len": "rollout.max_new_tokens",
        "max_samples": "data.max_samples",
        "zero_stage": "ds.zero_stage",
        "adam_offload": "ds.adam_offload",
        "colocate_actor_ref": "train.colocate_actor_ref",
        "gradient_checkpointing": "actor.gradient_checkpointing_enable",
    }.items():
        new = new.replace(before, after)
    holds(converted(tmp_path, "new.sh", new)[1], expected)


def test_openrlhf_layout_that_ray_would_refuse_is_said_by_line(tmp_path: Path) -> None:
    flags = "--actor.num_gpus_per_node 8 \\\n --vllm.num_engines 3 \\\n --vllm.tensor_parallel_size 2 --train.colocate_all\n"
    found, _ = converted(tmp_path, "run.sh", f"python -m openrlhf.cli.train_ppo_ray {flags}")
    (note,) = [note for note in found.notes if note.what == "refused"]
    assert note.where.endswith("run.sh:2")
    assert "3 engines × tp 2 = 6 GPUs, but the actor has 8" in note.why


def test_trl(tmp_path: Path) -> None:
    holds(
        converted(tmp_path, "grpo.yaml", TRL)[1],
        {
            "framework": "trl",
            "prompts_per_step": 16,
            "samples_per_prompt": 16,
            "steps": 200,
            "reference": True,
            "rollout.engine": "vllm",
            "schedule": "colocated",
            "max_response_tokens": 2048,
            "fleet.num_gpus": 8,
            "train.micro_batch_samples": 4,
        },
    )
    command = "accelerate launch --num_processes 4 train.py --model_name_or_path Qwen/Qwen3-4B --dataset_name d --max_length 2048 --num_train_epochs 2 --packing\n"
    sft = {
        "kind": "sft",
        "global_batch_samples": 32,
        "epochs": 2,
        "seq_len": 2048,
        "train.packing": True,
        "samples": 100_000,
    }
    holds(converted(tmp_path, "sft.sh", command)[1], sft)
    launched = "trl dpo --model_name_or_path Qwen/Qwen3-4B --loss_type orpo --max_steps 10"
    holds(converted(tmp_path, "dpo.sh", launched)[1], {"kind": "dpo", "reference": False, "samples": 640})


def test_skyrl(tmp_path: Path) -> None:
    holds(
        converted(tmp_path, "run.sh", SKYRL)[1],
        {
            "framework": "skyrl",
            "model": "Qwen/Qwen3-30B-A3B",
            "train.sharding": "megatron",
            "train.tp": 4,
            "train.ep": 8,
            "schedule": "disaggregated",
            "rollout_share": 0.5,
            "fleet.num_gpus": 16,
            "turns": 6,
            "sandbox.profile": "judge",
        },
    )


def test_nemo_rl_builds_on_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "parent.yaml").write_text(NEMO_PARENT)
    found, data = converted(tmp_path, "grpo.yaml", NEMO)
    holds(
        data,
        {
            "framework": "nemo-rl",
            "steps": 300,
            "prompts_per_step": 32,
            "max_response_tokens": 4096,
            "reference": True,
            "train.sharding": "megatron",
            "train.tp": 2,
            "train.pp": 2,
            "fleet.num_gpus": 16,
            "evaluate.every_steps": 10,
        },
    )
    assert "parent.yaml:1 grpo.num_prompts_per_step" in found.text
    (tmp_path / "parent.yaml").unlink()
    found, _ = converted(tmp_path, "grpo.yaml", NEMO)
    assert any("parent.yaml isn't there" in note.why for note in found.notes)


def test_torchtitan(tmp_path: Path) -> None:
    expected = {
        "kind": "pretrain",
        "model": "meta-llama/Llama-3.1-8B",
        "seq_len": 8192,
        "global_batch_samples": 8,
        "train.tp": 2,
        "tokens": 1000 * 8 * 8192,
        "train.recompute": "selective",
        "checkpoint.every_steps": 250,
        "fleet.num_gpus": 8,
    }
    found, data = converted(tmp_path, "llama.toml", TITAN)
    holds(data, expected)
    assert "llama.toml:6 training.seq_len" in found.text
    launched = "NGPU=16 CONFIG_FILE=./llama.toml ./run_train.sh --training.seq_len=4096\n"
    holds(
        converted(tmp_path, "launch.sh", launched)[1],
        {"seq_len": 4096, "fleet.num_gpus": 16, "global_batch_samples": 16},
    )


def test_a_script_that_calls_another_gives_it_its_words(tmp_path: Path) -> None:
    (tmp_path / "inner.sh").write_text(VERL)
    data = converted(tmp_path, "outer.sh", "bash inner.sh data.train_batch_size=64\n")[1]
    holds(data, {"prompts_per_step": 64, "samples_per_prompt": 8})


def test_a_skypilot_task_names_the_gpus(tmp_path: Path) -> None:
    run = "".join(f"  {line}\n" for line in VERL.splitlines()[1:])
    text = f"resources:\n  accelerators: H100:8\nnum_nodes: 2\nrun: |\n{run}"
    found, data = converted(tmp_path, "task.yaml", text)
    holds(data, {"fleet.gpus": ["H100"], "fleet.num_gpus": 16, "prompts_per_step": 512})
    assert "task.yaml:10 data.train_batch_size" in found.text


def test_what_only_a_run_knows_is_left_to_the_plan(tmp_path: Path) -> None:
    found, data = converted(tmp_path, "run.sh", VERL.replace("NNODES=2", "NNODES=$(nvidia-smi -L | wc -l)"))
    assert "fleet" not in data
    assert any(note.setting == "trainer.nnodes" and "known only to a run" in note.why for note in found.notes)


def test_a_degree_that_the_model_refuses_is_left_out_and_said(tmp_path: Path) -> None:
    found, data = converted(tmp_path, "run.sh", VERL.replace("parallel_size=2", "parallel_size=3"))
    holds(data, {"rollout.tp": None, "rollout.engine": "vllm"})
    (note,) = [note for note in found.notes if note.what == "refused"]
    assert (note.where.rpartition("/")[2], note.field) == ("run.sh:12", "rollout.tp")
    assert "tp 3 does not divide 32 attention heads" in note.why


def test_an_unknown_model_keeps_its_name_and_is_marked(tmp_path: Path) -> None:
    found, data = converted(tmp_path, "run.sh", VERL.replace("Qwen3-8B", "our-model"))
    assert data["stages"][0]["model"] == {"name": "our-model", "params_total": 7e9}
    assert next(note for note in found.notes if note.field == "model").what == "assumed"
    data = converted(tmp_path, "run.sh", VERL.replace("Qwen3-8B", "our-13B-A2B"))[1]
    assert data["stages"][0]["model"] == {"name": "our-13B-A2B", "params_total": 13e9, "params_active": 2e9}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.sh", "", "is empty"),
        ("run.sh", "echo hello\n", "starts no training of a framework that is known here"),
        ("x.yaml", "a: 1\nb: 2\n", "is no configuration of a framework that is known here; it sets a, b"),
        ("x.toml", "[a\n", "is not TOML"),
        ("x.yaml", "a: [\n", "is not YAML"),
        ("run.py", "print()\n", "is a Python program"),
        ("run.sh", "\0\1binary", "is a binary file"),
        ("run.sh", "x" * (1 << 20) + "yy", "is larger than 1,024 KiB"),
        ("run.sh", VERL + OPENRLHF, "starts trainings of 2 frameworks: verl"),
        (
            "x.toml",
            '[model]\nname = "flux"\nflavor = "dev"\n[training]\nsteps = 1\nseq_len = 1\n',
            "flux is a model of images",
        ),
        ("run.sh", "python3 -m verl.trainer.main_generation model.path=x\n", "main_generation only generates"),
        ("run.sh", "python -m openrlhf.cli.train_kd --pretrain x\n", "train_kd is a trainer that no spec describes"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SpecError, match=message) as caught:
        convert(tmp_path / name)
    assert "\n" not in caught.value.message


def test_a_named_framework_decides_between_two(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text(VERL + OPENRLHF)
    assert convert(tmp_path / "run.sh", "openrlhf").framework == "openrlhf"
    with pytest.raises(SpecError, match="starts no training of trl, but of verl, openrlhf"):
        convert(tmp_path / "run.sh", "trl")


def test_nothing_in_a_comment_of_the_spec_can_end_it(tmp_path: Path) -> None:
    found, _ = converted(tmp_path, "run.sh", VERL.replace("trainer.total_epochs=3", '"trainer.save_freq\n x: 1=2"'))
    assert "\n x: 1" not in found.text
