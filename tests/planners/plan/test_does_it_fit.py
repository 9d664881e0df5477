"""What fits which GPUs: inputs that plans got wrong, and the least hardware that frameworks publish for their recipes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_world import EVALUATE, NOW, RLCEF, ROLLOUT, SFT, changed, plan, world

from planners.plan.build import build_plan
from planners.plan.value import Plan
from planners.search.selection import NoFleetError
from planners.spec.run_spec import RunSpec

CASES = Path(__file__).parents[2] / "data" / "plan_cases"


def case(name: str, **train: Any) -> Plan:
    document = yaml.safe_load((CASES / f"{name}.yaml").read_text("utf-8"))
    document["fleet"]["targets"] = ["aws"]
    for stage in document["stages"]:
        stage["train"] = stage.get("train", {}) | train
    return build_plan(RunSpec.model_validate(document), world(), now=NOW)


def seconds(found: Plan, phase: str, part: str) -> float:
    return next(row.parts[part] for row in found.stages[0].phases if row.name == phase)


def test_adam_states_of_a_mixture_of_experts_fill_32_gpus() -> None:
    with pytest.raises(NoFleetError) as error:
        case("moe-optimizer-does-not-fit")
    said = error.value.nearest
    assert "training memory" in said
    assert "GiB missing" in said
    assert "optimizer 82.1" in said, "12 bytes x 235e9 / 32"
    for cure in ("train.optimizer_offload there is one: 4 × p5en", "6 nodes there is one: 6 × p5en"):
        assert f"with {cure}" in said
    assert said.count("$") >= 2, "each with its price"


def test_an_offloaded_optimizer_takes_the_time_of_the_cpus_and_of_pcie() -> None:
    found = case("offload-takes-time")
    params = 235.1e9
    least = params / 4 * 28 / 100e9 + params / 32 * 4 / 25e9
    assert seconds(found, "train", "optimizer step") == pytest.approx(least, rel=0.05)
    memory = found.stages[0].memory
    assert memory
    assert memory.train_gib["optimizer"] == 0
    assert memory.host_gib > params / 4 * 16 / 2**30


@pytest.mark.parametrize("stage", [RLCEF, SFT], ids=lambda stage: stage["kind"])
def test_offloading_what_fits_is_never_cheaper_or_faster(stage: dict[str, Any]) -> None:
    fleet = {"gpus": ["H100"], "nodes": 1}
    there, away = (plan(changed(stage, train={"optimizer_offload": away}), fleet=fleet) for away in (False, True))
    assert away.usd.p50 > there.usd.p50
    assert away.hours.p50 > there.hours.p50


def test_states_that_do_not_fit_the_nodes_memory_are_not_offloaded() -> None:
    with pytest.raises(NoFleetError) as error:
        trains("Qwen/Qwen2.5-72B", {"optimizer_offload": True}, gpus=8, memory_gib=512)
    assert "host memory" in error.value.nearest


def test_machines_that_do_not_exist_are_no_way_to_fit() -> None:
    """Four nodes of 128 GiB take turns on no memory; 5 to 256 of them, which would, are not there."""
    with pytest.raises(NoFleetError) as error:
        trains("Qwen/Qwen2.5-32B", {}, gpus=32, memory_gib=128, schedule="colocated")
    assert "host memory" in error.value.nearest
    assert "GiB missing at best" in error.value.nearest
    assert "with schedule disaggregated there is one: 4 × " in error.value.nearest


def test_actor_and_critic_of_70b_do_not_fit_24_gpus() -> None:
    with pytest.raises(NoFleetError) as error:
        case("ppo-critic-holds-memory")
    said = error.value.nearest
    assert "training memory" in said
    held = {part: float(gib) for part, gib in re.findall(r"(critic|optimizer) ([\d.]+)", said)}
    states = 70.55e9 / 24 / 2**30
    assert held == {"critic": pytest.approx(16 * states, abs=0.1), "optimizer": pytest.approx(12 * states, abs=0.1)}


def test_a_critic_and_a_reference_hold_memory_beside_the_policy() -> None:
    fleet, train = {"gpus": ["H100"], "nodes": 2}, {"sharding": "megatron"}
    sizes = []
    for fields in ({"reference": False}, {"reference": True}, {"algorithm": "ppo"}):
        memory = plan(changed(RLCEF, train=train, **fields), fleet=fleet).stages[0].memory
        assert memory
        sizes.append(memory.train_gib)
    alone, scored, ppo = sizes
    assert set(ppo) - set(alone) == {"critic", "reference"}
    assert scored["reference"] == pytest.approx(scored["weights"])
    assert ppo["critic"] == pytest.approx(sum(ppo[name] for name in ("weights", "gradients", "optimizer")))


def test_a_micro_batch_holds_the_longest_sample_whatever_the_mean() -> None:
    """6 bytes of logits for each of 152,064 tokens of the vocabulary, 1.1 times for the allocator."""
    fleet, train = {"gpus": ["H200"], "nodes": 1}, {"sharding": "fsdp", "micro_batch_samples": 1}
    for longest in (8192, 65_536 - 400):
        memory = plan(changed(RLCEF, max_response_tokens=longest, train=train), fleet=fleet).stages[0].memory
        assert memory
        assert memory.train_gib["logits"] == pytest.approx(1.1 * 6 * 152_064 * (400 + longest) / 2**30, rel=1e-6)


def test_judges_hold_memory_on_the_gpus_that_generate() -> None:
    fleet = {"gpus": ["H100"], "nodes": 1}
    judged = {"judges": [{"model": "Qwen/Qwen2.5-7B-Instruct"}]}
    memory = plan(changed(RLCEF, **judged), fleet=fleet).stages[0].memory
    assert memory
    assert memory.rollout_gib["other models"] > 4.0
    critic = {"outcome_critic": {"model": "Qwen/Qwen2.5-7B-Instruct", "replaced_share": 0.5}}
    both = plan(changed(RLCEF, **judged, **critic), fleet=fleet).stages[0].memory
    assert both
    assert both.rollout_gib["other models"] > 1.5 * memory.rollout_gib["other models"]
    with pytest.raises(NoFleetError) as error:
        plan(changed(RLCEF, judges=[{"model": "deepseek-ai/DeepSeek-V3"}]), fleet=fleet)
    assert "(other models 82." in error.value.nearest, "671e9 parameters in FP8 over 8 GPUs, and a workspace"


# ---- the least hardware that frameworks publish


def machines(gpus: int, gpu: str, memory_gib: float) -> dict[str, Any]:
    nodes = max(gpus // 8, 1)
    owned = {"gpu": gpu, "gpus_per_node": min(gpus, 8), "nodes": nodes, "vcpus": 96, "memory_gib": memory_gib}
    return {"targets": ["local"], "nodes": nodes, "machines": [owned, {"vcpus": 96, "memory_gib": 512, "nodes": 4}]}


def trains(
    model: str, train: dict[str, Any], *, gpus: int, gpu: str = "H100", memory_gib: float = 2048, **stage: Any
) -> Plan:
    """RL of the recipes: prompts of 512 tokens, answers of up to 1,024, one sequence a micro batch."""
    short = {
        "prompt_tokens": 512,
        "response_tokens": 800,
        "max_response_tokens": 1024,
        "train": {"micro_batch_samples": 1} | train,
    }
    rlcef = changed(RLCEF, model=model, **(short | stage))
    return plan(rlcef, fleet=machines(gpus, gpu, memory_gib), limits={"hours": 1e6})


FULL = {"Qwen/Qwen2.5-7B": 2, "Qwen/Qwen3-14B": 4, "Qwen/Qwen2.5-32B": 8, "Qwen/Qwen2.5-72B": 32}
LORA = {"Qwen/Qwen2.5-7B": 1, "Qwen/Qwen3-14B": 2, "Qwen/Qwen2.5-32B": 4, "Qwen/Qwen2.5-72B": 8}


@pytest.mark.parametrize(("model", "gpus"), FULL.items())
def test_rl_of_all_weights_fits_the_recipes_hardware_and_not_half_of_it(model: str, gpus: int) -> None:
    assert trains(model, {}, gpus=gpus).stages
    with pytest.raises(NoFleetError) as error:
        trains(model, {}, gpus=gpus // 2 if gpus < 32 else 8)
    assert "training memory" in error.value.nearest


@pytest.mark.parametrize(("model", "gpus"), LORA.items())
def test_rl_of_adapters_fits_the_recipes_hardware(model: str, gpus: int) -> None:
    assert trains(model, {"lora_rank": 32}, gpus=gpus).stages


def test_235b_needs_its_optimizer_on_the_cpus_of_4_nodes_and_not_of_32() -> None:
    model = "Qwen/Qwen3-235B-A22B"
    with pytest.raises(NoFleetError):
        trains(model, {}, gpus=32)
    assert trains(model, {"optimizer_offload": True}, gpus=32).stages
    assert trains(model, {}, gpus=256).stages


@pytest.mark.parametrize(("gpus", "gpu", "fits"), [(8, "H200", True), (16, "H100", True), (8, "H100", False)])
def test_671b_in_fp8_is_served_by_8_h200_or_16_h100(gpus: int, gpu: str, fits: bool) -> None:
    stage = changed(EVALUATE, model="deepseek-ai/DeepSeek-V3", rollout={"precision": "fp8"})
    fleet = machines(gpus, gpu, 2048)
    if fits:
        assert plan(stage, fleet=fleet).stages
        return
    with pytest.raises(NoFleetError) as error:
        plan(stage, fleet=fleet)
    assert "generate memory" in error.value.nearest


@pytest.mark.parametrize(("gpus", "offload", "fits"), [(8, False, False), (8, True, True), (16, False, True)])
def test_70b_is_fine_tuned_on_16_h100_or_with_offload_on_8(gpus: int, offload: bool, fits: bool) -> None:
    train = {"sharding": "fsdp", "micro_batch_samples": 1, "recompute": "full", "optimizer_offload": offload}
    stage = changed(SFT, model="meta-llama/Llama-3.1-70B", sample_tokens=1000, seq_len=2048, train=train)
    fleet = machines(gpus, "H100", 2048)
    if not fits:
        with pytest.raises(NoFleetError, match="no fleet"):
            plan(stage, fleet=fleet)
        return
    found = plan(stage, fleet=fleet, limits={"hours": 1e6})
    full = [warning for warning in found.warnings if "of the GPUs' memory" in warning]
    assert bool(full) == (gpus == 16), "more than 98 % full"


def test_a_replica_that_is_too_small_names_the_degree_that_fits() -> None:
    stage = changed(EVALUATE, model="meta-llama/Llama-3.1-70B", rollout={"tp": 1})
    with pytest.raises(NoFleetError) as error:
        plan(stage, fleet={"gpus": ["H100"], "nodes": 1})
    said = error.value.nearest
    assert "GiB missing at best: 135.8 of 71.7 GiB (weights 131.4" in said
    assert re.search(r"with rollout\.tp [248] there is one: 1 × p5\.48xlarge .*\$", said)


def test_a_model_that_fits_in_fp8_alone_says_so() -> None:
    stage = changed(EVALUATE, model="Qwen/Qwen3-Coder-480B-A35B-Instruct")
    with pytest.raises(NoFleetError) as error:
        plan(stage, fleet={"gpus": ["H100"], "num_gpus": 8})
    assert "with rollout.precision fp8 there is one: 1 × p5.48xlarge" in error.value.nearest
    assert "with 2 nodes there is one: 2 × p5.48xlarge" in error.value.nearest


def test_a_replica_with_room_for_few_sequences_runs_and_says_so() -> None:
    hours = []
    for longest, room in ((30_000, None), (200_000, 2), (400_000, 1)):
        long = {"max_context_tokens": longest, "turns": 40, "prompt_tokens": 4000}
        stage = changed(ROLLOUT, model="meta-llama/Llama-3.1-70B", rollout={"tp": 4}, **long)
        found = plan(stage, fleet={"gpus": ["H100"], "nodes": 1}, limits={"hours": 1e6})
        memory = found.stages[0].memory
        assert memory
        assert memory.rollout_sequences == room
        said = f"runs {room} sequence{'' if room == 1 else 's'} of the longest length at a time"
        assert any(said in warning for warning in found.warnings) == (room is not None)
        hours.append(found.hours.p50)
    assert hours == sorted(hours)
    with pytest.raises(NoFleetError) as error:
        plan(changed(stage, max_context_tokens=600_000), fleet={"gpus": ["H100"], "nodes": 1}, limits={"hours": 1e6})
    assert "generate memory" in error.value.nearest


def test_671b_trains_on_racks_whose_nodes_hold_less_than_all_its_weights() -> None:
    """A node of four GB200 has 960 GB; 2 bytes of 671e9 parameters are 1,342 GB.  Frameworks publish 256 GB200."""
    owned = {"gpu": "GB200", "gpus_per_node": 4, "nodes": 64, "vcpus": 144, "memory_gib": 960.0}
    fleet = {"targets": ["local"], "num_gpus": 256, "machines": [owned, {"vcpus": 96, "memory_gib": 512, "nodes": 4}]}
    assert plan(changed(RLCEF, model="deepseek-ai/DeepSeek-V3"), fleet=fleet, limits={"hours": 1e6}).stages
