"""How models are served: formats of weights and caches, windows, tensor parallelism within nodes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tiny_world import NOW, ROLLOUT, changed, gpu_offers, world

from clusterctl.catalog.lookup import find_gpu, load_gpus
from clusterctl.errors import SpecError
from clusterctl.specfile.spec_file import read_spec
from planners.plan.build import build_plan
from planners.plan.value import StagePlan
from planners.search.machines import MAX_NODES, MachineKind, machine_columns, machines_of
from planners.spec.run_spec import RunSpec
from planners.units import GIB

CASES = Path(__file__).parents[2] / "data" / "plan_cases"
H100 = {"gpus": ["H100"], "targets": ["aws"], "instance_types": ["p5.48xlarge"]}


def planned(**fields: Any) -> StagePlan:
    stage = changed(ROLLOUT, **fields)
    spec = RunSpec.model_validate({"name": "x", "stages": [stage], "fleet": H100})
    return build_plan(spec, world(), now=NOW).stages[0]


def planned_case(folder: str, tmp_path: Path, **fields: Any) -> tuple[StagePlan, float]:
    """The stage of a model in a folder beside the spec, and its GPUs per replica."""
    spec = tmp_path / "run.yaml"
    (tmp_path / "config").symlink_to(CASES / "config")
    stage = changed(ROLLOUT, model=f"config/{folder}", rollout={"tp": 8}, **fields)
    spec.write_text(str({"name": "x", "stages": [dict(stage)], "fleet": H100}))
    return build_plan(read_spec(spec), world(), now=NOW).stages[0], 8.0


def test_degrees_that_do_not_divide_the_heads_are_refused_with_the_allowed_ones() -> None:
    """vLLM: "Total number of attention heads (64) must be divisible by tensor parallel size (3)"."""
    with pytest.raises(SpecError, match=r"tp 3 does not divide 64 attention heads.* 1, 2, 4, 8, 16, 32, 64 \(KV heads"):
        read_spec(CASES / "tp-divides-heads.yaml")
    with pytest.raises(SpecError, match=r"--what-if rollout.tp=5: .*tp 5"):
        read_spec(CASES / "tp-divides-heads.yaml", ["rollout.tp=5"])
    with pytest.raises(SpecError, match=r"train.tp: tp 3 "):
        read_spec(CASES / "tp-divides-heads.yaml", ["rollout.tp=4", "train.tp=3"])
    assert read_spec(CASES / "tp-divides-heads.yaml", ["rollout.tp=16"]).stages


def test_an_fp8_checkpoint_takes_half_the_memory(tmp_path: Path) -> None:
    """70.55e9 parameters, of which embeddings and head (2.1e9) stay at 16 bits: 67.7 GiB."""
    stage, gpus = planned_case("llama-70b-fp8", tmp_path)
    assert stage.memory is not None
    assert stage.memory.rollout_gib["weights"] * gpus == pytest.approx(67.66, abs=0.05)


@pytest.mark.parametrize("context", [8192, 32_768, 131_072])
def test_a_sliding_window_bounds_the_cache_whatever_the_context(context: int, tmp_path: Path) -> None:
    """Four sequences of 4,096 tokens of 131,072 B."""
    stage, gpus = planned_case("sliding-window", tmp_path, max_context_tokens=context)
    assert stage.memory is not None
    assert stage.memory.rollout_gib["KV cache"] * gpus == pytest.approx(4 * 4096 * 131_072 / GIB) == 2.0


def test_half_the_layers_with_a_window_hold_half_of_what_the_context_adds() -> None:
    shape = {"name": "s", "layers": 32, "hidden": 4096, "heads": 32, "kv_heads": 8, "ffn": 14_336, "vocab": 32_000}

    def cache(**fields: Any) -> float:
        memory = planned(model=shape | fields, rollout={"tp": 8}).memory
        assert memory is not None
        return memory.rollout_gib["KV cache"]

    whole, windowed = cache(), cache(window=128)
    assert cache(window=128, window_layers=16) == pytest.approx((whole + windowed) / 2)
    assert cache(kv_dtype="fp8") == pytest.approx(whole / 2)
    assert cache(state_bytes=2.0**30) == pytest.approx(whole + 4.0 / 8.0)


def test_the_cache_has_a_format_of_its_own() -> None:
    def cache(**rollout: Any) -> float:
        memory = planned(rollout={"tp": 4, **rollout}).memory
        assert memory is not None
        return memory.rollout_gib["KV cache"]

    assert cache(kv_cache_dtype="fp8") == pytest.approx(cache() / 2)
    assert cache(precision="fp8") == cache(), "weights in FP8 leave the cache alone"


def test_a_model_beyond_one_node_is_a_pipeline_of_nodes_unless_tp_is_stated() -> None:
    """DeepSeek-V3 in its published FP8 (627 GiB) needs 16 H100; vLLM's advice: tensor parallelism within a node,
    pipeline parallelism across nodes."""
    assert planned(model="deepseek-ai/DeepSeek-V3").layout["rollout"] == (
        "rollout TP 8 × PP 2 × 1 replica, each KV head on 8 GPUs, weights in fp8"
    )
    asked = planned(model="deepseek-ai/DeepSeek-V3", rollout={"tp": 16}).layout["rollout"]
    assert asked == "rollout TP 16 × 1 replica, each KV head on 16 GPUs, weights in fp8"


def test_pipeline_stages_of_a_replica_can_be_stated() -> None:
    two_nodes = planned(model="meta-llama/Llama-3.1-405B", rollout={"tp": 8, "pp": 2}).layout["rollout"]
    assert two_nodes == "rollout TP 8 × PP 2 × 1 replica"
    assert "TP 4 × PP 2" in str(planned(model="meta-llama/Llama-3.1-70B", rollout={"pp": 2}).layout["rollout"])


def test_mxfp4_experts_let_a_large_model_run_on_one_gpu() -> None:
    """arXiv:2508.10925: gpt-oss-120b (60.8 GiB) fits a single 80 GB GPU; the same in 16 bits takes 218 GiB."""
    assert planned(model="openai/gpt-oss-120b", rollout={"tp": 1}).memory
    searched = planned(model="openai/gpt-oss-120b", tasks=5, attempts=1).layout["rollout"]
    assert "weights in mxfp4" in str(searched)
    in_16_bits = planned(model="openai/gpt-oss-120b", rollout={"precision": "bf16", "tp": 8}).memory
    assert in_16_bits is not None
    assert in_16_bits.rollout_gib["weights"] * 8 == pytest.approx(217.5, abs=0.1)


def test_replicas_end_at_what_divides_the_heads() -> None:
    """Qwen2.5-7B: 28 heads and 4 KV heads; 8 does not divide 28."""
    assert "TP 8" not in str(planned().layout["rollout"])


def test_nothing_is_spread_over_single_gpu_machines_where_a_node_costs_about_as_much() -> None:
    """$6.88 per H100-hour alone and in a node on AWS: no NVLink and an eighth of the network for the same money."""
    offers = gpu_offers()
    node = offers.filter((offers["instance_type"] == "p5.48xlarge") & (offers["capacity_type"] == "on_demand")).head(1)
    alone = {"instance_type": pl.lit("p5.4xlarge"), "num_gpus": pl.lit(1.0), "network_gbps": pl.lit(100.0)}

    def shards(usd: float) -> dict[int, bool]:
        single = node.with_columns(usd_per_hour=pl.lit(usd), **alone)
        offers = node.vstack(single.select(node.columns)).with_columns(pl.lit(1.0).alias(MAX_NODES))
        _, machines = machines_of(offers, load_gpus())
        return {machine.gpus_per_node: machine.shards for machine in machines}

    assert shards(7.0) == {8: True, 1: False}
    both = node.vstack(node.with_columns(usd_per_hour=pl.lit(7.0), **alone).select(node.columns))
    spec = {
        "name": "x",
        "stages": [dict(changed(ROLLOUT, model="meta-llama/Llama-3.1-70B"))],
        "fleet": {"gpus": ["H100"]},
    }
    found = build_plan(RunSpec.model_validate(spec), replace(world(), gpu_offers=both), now=NOW).stages[0]
    assert "PP" not in str(found.layout["rollout"]), "four single machines would hold it too"
    assert shards(3.0) == {8: True, 1: True}, "a node at more than twice the price per GPU"


def test_scale_up_links_end_at_the_node_but_in_racks() -> None:

    def domain(gpu: str, gpus: int) -> float:
        kind = MachineKind(gpu=find_gpu(gpu), gpus_per_node=gpus, network_gbps=None, memory_gib=1.0, vcpus=1.0)
        return float(machine_columns([kind], np.zeros(1, dtype=np.int64)).scale_up_domain[0])

    assert (domain("H100", 8), domain("H100", 1), domain("GB200", 4)) == (8.0, 1.0, 72.0)
