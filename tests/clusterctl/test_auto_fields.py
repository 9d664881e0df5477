"""What a plan searches by itself is never beaten by a stated value, by the plan's own objective."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from clusterctl.errors import Infeasible
from clusterctl.plan_service import Planner, Source, open_source
from planners.plan.value import Plan
from planners.search.combine import NEAR_EQUAL
from planners.spec.fields import all_paths, fields_at
from planners.spec.run_spec import STAGE_KINDS

CASES = Path(__file__).parents[1] / "data" / "plan_cases"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
HOPPER = "fleet: {targets: [aws], gpus: [H100]}"
SPECS = {
    "recompute-auto": "{kind: rlcef, in the file of that name}",
    "rl experts": "{kind: rlcef, model: Qwen/Qwen3-30B-A3B, steps: 50, response_tokens: {mean: 2000, p95: 6000}}",
    "rl adapters": "{kind: rlcef, model: Qwen/Qwen2.5-14B, steps: 50, response_tokens: 1500, train: {lora_rank: 32}}",
    "pretrain experts": "{kind: pretrain, model: Qwen/Qwen3-30B-A3B, tokens: 100000000000}",
    "sft long": "{kind: sft, model: meta-llama/Llama-3.1-8B, tokens: 500000000, seq_len: 32768}",
    "agents": "{kind: rollout, model: Qwen/Qwen2.5-Coder-32B-Instruct, tasks: 2000, turns: 20}",
    "benchmark": "{kind: evaluate, model: Qwen/Qwen3-30B-A3B, benchmark: livecodebench, samples: 8}",
}
DEGREES = (1, 2, 4, 8)
STATED: dict[str, tuple[Any, ...]] = {
    "train.sharding": ("fsdp", "megatron", "zero1", "zero2", "zero3", "ddp"),
    "train.tp": DEGREES,
    "train.pp": DEGREES,
    "train.cp": (1, 2, 4),
    "train.ep": DEGREES,
    "train.micro_batch_samples": (1, 2, 4, 8),
    "train.recompute": ("none", "selective", "full"),
    "rollout.tp": DEGREES,
    "schedule": ("colocated", "disaggregated", "async"),
    "rollout_share": (0.25, 0.5, 0.75),
    "fleet.nodes": (1, 2, 4, 8, 32),
    "fleet.num_gpus": (16, 64, 256),
}
"""By field: what is stated instead of nothing."""


@cache
def source(name: str, folder: Path) -> Source:
    if name == "recompute-auto":
        return open_source(str(CASES / f"{name}.yaml"))
    file = folder / f"{name.replace(' ', '-')}.yaml"
    file.write_text(f"name: auto\nstages: [{SPECS[name]}]\n{HOPPER}\n", "utf-8")
    return open_source(str(file))


@cache
def planned(name: str, folder: Path, *overrides: str) -> Plan:
    return Planner(now=NOW).plan(source(name, folder), overrides)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("specs")


def searched(kind: str) -> Iterator[str]:
    """Fields of a spec with one stage of this kind whose default is `auto` or said to be searched."""
    document = {"stages": [{"kind": kind}]}
    for path in all_paths(document):
        field = fields_at(document, path[:-1]).get(str(path[-1]))
        if field is not None and (field.default == "auto" or "searched" in (field.description or "")):
            yield ".".join(str(step) for step in path if step != 0).removeprefix("stages.")


def test_every_field_that_is_searched_is_tried() -> None:
    assert {field for kind in STAGE_KINDS for field in searched(kind)} == set(STATED)


def cases() -> Iterator[Any]:
    """(spec, override): of each field one value in `make test`, each spec another one; the rest is slow."""
    for number, (name, stage) in enumerate(SPECS.items()):
        kind = stage.split(",")[0].removeprefix("{kind: ")
        for field in searched(kind):
            place = field if field.startswith("fleet.") else f"stages.0.{field}"
            for index, value in enumerate(STATED[field]):
                quick = index == number % len(STATED[field])
                yield pytest.param(name, f"{place}={value}", marks=() if quick else pytest.mark.slow)


@pytest.mark.parametrize(("name", "stated"), list(cases()))
def test_no_stated_value_beats_what_is_searched(name: str, stated: str, folder: Path) -> None:
    no_older = ("stages.0.staleness_steps=0",) if stated.endswith("=async") else ()  # staleness changes results
    for objective in ("cost", "time", "balanced"):
        auto = planned(name, folder, f"objective={objective}")
        try:
            other = planned(name, folder, f"objective={objective}", stated, *no_older)
        except Infeasible:
            continue
        dollars, hours = other.usd.p50 / auto.usd.p50, other.hours.p50 / auto.hours.p50
        beaten = {"cost": dollars, "time": hours, "balanced": max(dollars, hours)}[objective]
        assert beaten >= 1 / (1 + NEAR_EQUAL), f"{objective}: {beaten:.3f} of what auto takes"
