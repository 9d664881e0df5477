"""Models and GPUs that ship: complete, sourced, found by the names that people and clouds use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.catalog import find_gpu, find_model, load_gpus, load_models
from clusterctl.catalog.lookup import model_rows
from clusterctl.errors import SpecError
from planners.spec.models import InlineModel

ASKED_GPUS = (
    "H100",
    "H100-NVL",
    "H100-PCIe",
    "H200",
    "B200",
    "B300",
    "GB200",
    "A100-40",
    "A100-80",
    "A800",
    "L40S",
    "L4",
    "A10G",
    "A10",
    "MI300X",
    "MI325X",
    "H20",
    "H800",
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Qwen/Qwen2.5-Coder-32B-Instruct", "Qwen/Qwen2.5-32B"),
        ("qwen2.5-coder-7b", "Qwen/Qwen2.5-7B"),
        ("Qwen/Qwen2.5-Coder-14B", "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B"),
        ("Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B"),
        ("CodeLlama-70b-Python-hf", "meta-llama/Llama-2-70b-hf"),
        ("deepseek-coder-v2", "deepseek-ai/DeepSeek-Coder-V2-Instruct"),
        ("bigcode/StarCoder2-15B", "bigcode/starcoder2-15b"),
        ("DeepSeek-R1", "deepseek-ai/DeepSeek-V3"),
        ("Qwen3-32B-FP8", "Qwen/Qwen3-32B"),
        ("  Qwen/Qwen3-8B ", "Qwen/Qwen3-8B"),
    ],
)
def test_a_model_is_found_by_the_names_people_use(name: str, found: str) -> None:
    assert find_model(name).name == found


def test_a_shape_written_out_is_a_model_too() -> None:
    assert find_model(InlineModel(name="mine", params_total=7e9)).params_total == 7e9
    thin = InlineModel(
        name="thin", layers=1, hidden=4096, heads=1, ffn=1, vocab=200_000, params_total=1e9, params_active=1e3
    )
    with pytest.raises(SpecError, match="fewer than its input embedding"):
        find_model(thin)


def test_every_name_and_alias_finds_its_own_row() -> None:
    for name, shape in load_models().items():
        assert find_model(name) == shape
        assert find_model(name.upper()) == shape


def test_a_bare_name_never_means_two_shapes() -> None:
    seen: dict[str, str] = {}
    for row in model_rows():
        for name in (row["name"], *row.get("aliases", ())):
            bare = name.rsplit("/", 1)[-1].lower()
            assert seen.setdefault(bare, row["name"]) == row["name"], bare


def test_every_model_is_sourced_and_whole() -> None:
    assert len(model_rows()) >= 55
    for row in model_rows():
        shape = find_model(row["name"])
        assert shape.source
        assert 0 < shape.params_matmul_active <= shape.params_active <= shape.params_total
        if shape.params_from == "shape":
            assert shape.layers
            assert shape.hidden
            assert shape.vocab


@pytest.mark.parametrize("name", ASKED_GPUS)
def test_every_asked_gpu_is_there(name: str) -> None:
    assert load_gpus()[name].name == name


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("H100-SXM-80GB", "H100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("nvidia-h100-mega-80gb", "H100"),
        ("h100_pcie", "H100-PCIe"),
        ("H100-NVL-94GB", "H100-NVL"),
        ("A100-80GB", "A100-80"),
        ("NVIDIA A100-SXM4-40GB", "A100-40"),
        ("nvidia-tesla-a100", "A100-40"),
        ("A100-80GB-PCIe", "A100-80-PCIe"),
        ("NVIDIA A10G", "A10G"),
        ("AMD Instinct MI300X", "MI300X"),
        ("nvidia-h200-141gb", "H200"),
        ("l40s", "L40S"),
    ],
)
def test_a_gpu_is_found_by_the_names_drivers_and_clouds_use(name: str, found: str) -> None:
    assert find_gpu(name).name == found


@pytest.mark.parametrize("gpu", load_gpus().values(), ids=lambda gpu: gpu.name)
def test_a_gpu_is_plausible_and_sourced(gpu: object) -> None:
    spec = find_gpu(gpu.name)  # type: ignore[attr-defined]  # ids need the plain value
    assert spec.source
    assert 1e13 < spec.bf16_flops < 1e16
    assert spec.fp8_flops is None or 1.9 < spec.fp8_flops / spec.bf16_flops < 2.1
    assert 16 <= spec.hbm_gib <= 300
    assert 1e11 < spec.hbm_bytes_per_s < 1e13
    assert (spec.scale_up_bytes_per_s is None) <= (spec.scale_up_domain in (1, 8))
    assert (spec.board_watts is None) == (spec.reference_watts is None)


@pytest.mark.parametrize(("name", "near"), [("H1000", "H100"), ("A1000", "A10"), ("L40", "L40S")])
def test_an_unknown_gpu_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(SpecError, match="unknown GPU") as caught:
        find_gpu(name)
    assert near in caught.value.message
    assert "MI300X" in (caught.value.hint or "")


def test_an_unknown_model_names_the_nearest_and_the_other_ways() -> None:
    with pytest.raises(SpecError, match=r"Qwen2\.5-Coder-32B") as caught:
        find_model("Qwen/Qwen2.5-Coder-33B-Instruct")
    assert "config.json" in (caught.value.hint or "")


@given(st.text(alphabet="!?#%&()", min_size=1, max_size=60))
def test_any_other_name_is_a_spec_error(name: str) -> None:
    for find in (find_model, find_gpu):
        with pytest.raises(SpecError, match="unknown"):
            find(name)
