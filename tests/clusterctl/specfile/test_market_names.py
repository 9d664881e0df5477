"""Names of regions, instance types, clouds and GPUs in a spec: a typo is an error with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterctl.errors import SpecError
from clusterctl.specfile.spec_file import read_spec
from planners.spec.run_spec import RunSpec

CASES = Path(__file__).parents[2] / "data" / "plan_cases"
STAGE = "name: run\nstages: [{kind: sft, model: Qwen/Qwen2.5-7B-Instruct, samples: 1000, sample_tokens: 900}]\n"


def read(tmp_path: Path, rest: str, stage: str = STAGE) -> RunSpec:
    path = tmp_path / "run.yaml"
    path.write_text(stage + rest)
    return read_spec(path)


def test_each_typo_in_own_prices_is_named_with_the_nearest() -> None:
    """Input and right value: users of price catalogues whose own prices were ignored in silence."""
    with pytest.raises(SpecError) as caught:
        read_spec(CASES / "own-prices-with-typos.yaml")
    said = caught.value.message
    assert "prices.rates[0].region: no region 'us-east-9' in aws; did you mean us-east-" in said
    assert "prices.rates[1].instance_type: no instance type 'p5.48xl' in aws; did you mean p5.48xlarge?" in said


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (
            "fleet: {targets: [aws], regions: [us-east1]}",
            "fleet.regions[0]: no region 'us-east1' in aws; did you mean us-east-1?",
        ),
        ("fleet: {targets: [gcp], regions: ['us-est*']}", "no region 'us-est*' in gcp; did you mean us-"),
        ("fleet: {targets: [azure], regions: [east-us]}", "did you mean eastus?"),
        ("fleet: {instance_types: [p5.48xl]}", "fleet.instance_types[0]: no instance type 'p5.48xl'"),
        ("fleet: {targets: [aws], sandbox: {instance_types: [c7a.16xlrge]}}", "did you mean c7a.16xlarge?"),
        ("fleet: {exclude: [us-east-11]}", "fleet.exclude[0]: no cloud, region or instance type 'us-east-11'"),
        ("fleet: {quota: {'awz:H100': 8}}", "no cloud 'awz'; did you mean aws?"),
        ("fleet: {quota: {'amazon:H100': 8}}", "no cloud 'amazon'; did you mean aws?"),
        ("fleet: {targets: [aws], regions: [us-eest-1]}", "did you mean us-west-1 or us-east-1?"),
        ("fleet: {quota: {'aws:H10O': 8}}", "unknown GPU 'H10O'; nearest: H10"),
        ("prices: {discounts: [{cloud: aws, region: us-west-22, percent: 5}]}", "did you mean us-west-2?"),
        ("prices: {discounts: [{instance_type: p5.48xl, percent: 5}]}", "did you mean p5.48xlarge?"),
        (
            "prices: {reservations: [{cloud: aws, region: us-east-2, instance_type: p5e.48xl, nodes: 2}]}",
            "p5e.48xlarge?",
        ),
        (
            "fleet: {targets: [local], machines: [{gpu: A100, vcpus: 8, memory_gib: 64}]}",
            "several forms: A100-40, A100-80",
        ),
    ],
)
def test_a_typo_is_an_error_with_the_nearest_name(rest: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, rest)
    assert expected in caught.value.message


def test_a_region_of_another_cloud_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, "fleet: {targets: [aws], regions: [us-east1]}")
    assert caught.value.hint == "gcp has it, and is not among the clouds"


@pytest.mark.parametrize(
    "rest",
    [
        "fleet: {regions: ['us-*'], exclude: [gcp, 'p4*', us-east-2], instance_types: ['p5*', standard_nd96isr_h100_v5]}",
        "fleet: {targets: [local], regions: [anywhere], machines: [{name: box, gpu: H100, vcpus: 8, memory_gib: 64}]}",
        "fleet: {targets: [aws, local], instance_types: [box], machines: [{name: box, gpu: H100, vcpus: 8, memory_gib: 64}]}",
        "prices: {rates: [{cloud: aws, region: us-west-1, instance_type: p5.48xlarge, usd_per_hour: 20}]}",
    ],
)
def test_names_that_exist_are_no_error(rest: str, tmp_path: Path) -> None:
    read(tmp_path, rest)


def test_a_gpu_by_its_family_is_each_of_its_forms(tmp_path: Path) -> None:
    rest = "fleet: {gpus: [A100, H100], quota: {'aws:A100': 16}}\nprices: {discounts: [{gpu: A100, percent: 5}]}"
    spec = read(tmp_path, rest)
    sizes = ("A100-40", "A100-80", "A100-80-PCIe")
    assert spec.fleet.gpus == (*sizes, "H100")
    assert spec.fleet.quota == {f"aws:{size}": 16 for size in sizes}
    assert tuple(rule.gpu for rule in spec.prices.discounts) == sizes


@pytest.mark.parametrize("kind", ["rlcef", "rl", "rlvr"])
def test_reinforcement_learning_by_its_other_names(kind: str, tmp_path: Path) -> None:
    spec = read(tmp_path, "", f"name: run\nstages: [{{kind: {kind}, model: Qwen/Qwen2.5-7B-Instruct, steps: 10}}]\n")
    assert spec.stages[0].kind == "rlcef"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("grpo", "grpo is an algorithm: write kind: rlcef and algorithm: grpo"),
        ("PPO", "write kind: rlcef and algorithm: ppo"),
        ("fine-tuning", "did you mean sft?"),
        ("reward_model", "did you mean reward-model?"),
        ("eval", "did you mean evaluate?"),
    ],
)
def test_a_kind_by_another_word_leads_to_what_was_meant(kind: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, "", f"name: run\nstages: [{{kind: {kind}, model: Qwen/Qwen2.5-7B-Instruct}}]\n")
    assert expected in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(("algorithm", "kind"), [("dpo", "dpo"), ("orpo", "dpo"), ("sft", "sft")])
def test_an_algorithm_that_is_a_kind_of_its_own_leads_to_it(algorithm: str, kind: str, tmp_path: Path) -> None:
    stage = f"{{kind: rlcef, model: Qwen/Qwen2.5-7B-Instruct, steps: 10, algorithm: {algorithm}}}"
    with pytest.raises(SpecError) as caught:
        read(tmp_path, "", f"name: run\nstages: [{stage}]\n")
    assert caught.value.hint == f"{algorithm} is a kind of stage: write kind: {kind}"
