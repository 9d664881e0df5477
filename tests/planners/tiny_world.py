"""A small world with round prices, and specs to plan in it: facts of models, GPUs and calibration are the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from unittest import mock

import polars as pl

from clusterctl.catalog.lookup import find_gpu, find_model, load_calibration, load_gpus
from planners.domain import OFFER_COLUMNS
from planners.inputs import PlanInputs
from planners.plan.build import build_plan
from planners.plan.unit_prices import ITEMS
from planners.plan.value import Plan
from planners.spec.run_spec import RunSpec

NOW = datetime(2026, 8, 20, tzinfo=UTC)
DAY = date(2026, 8, 1)
TEXT = ("cloud", "region", "zone", "instance_type", "capacity_type", "source", "quality", "gpu", "interconnect", "arch")
SCHEMA = {name: pl.Date if name == "as_of" else pl.String if name in TEXT else pl.Float64 for name in OFFER_COLUMNS}

# gpu, GPUs, vCPUs, GiB, Gb/s
GPU_MACHINES: dict[str, tuple[str, int, int, int, int]] = {
    "p5.48xlarge": ("H100", 8, 192, 2048, 3200),
    "p5en.48xlarge": ("H200", 8, 192, 2048, 3200),
    "g6e.2xlarge": ("L40S", 1, 8, 64, 20),
    "a3-highgpu-8g": ("H100", 8, 208, 1872, 1000),
    "nd-h200": ("H200", 8, 96, 1850, 3200),
    "p6-b200.48xlarge": ("B200", 8, 192, 2048, 3200),
}
# cloud, region, zone, machine, capacity, USD per hour
GPU_PRICES: tuple[tuple[str, str, str | None, str, str, float | None], ...] = (
    ("aws", "us-east-2", None, "p5.48xlarge", "on_demand", 56.0),
    ("aws", "us-east-2", "use2-az1", "p5.48xlarge", "spot", 30.0),
    ("aws", "us-east-2", "use2-az2", "p5.48xlarge", "spot", 24.0),
    ("aws", "us-east-2", None, "p5.48xlarge", "capacity_block", 32.0),
    ("aws", "us-east-2", None, "p5en.48xlarge", "on_demand", 64.0),
    ("aws", "us-east-2", None, "g6e.2xlarge", "on_demand", 2.25),
    ("aws", "us-east-2", None, "p6-b200.48xlarge", "on_demand", None),
    ("aws", "eu-west-1", None, "p5.48xlarge", "on_demand", 70.0),
    ("gcp", "us-central1", None, "a3-highgpu-8g", "on_demand", 88.0),
    ("gcp", "us-central1", "us-central1-a", "a3-highgpu-8g", "spot", 28.0),
    ("azure", "eastus", None, "nd-h200", "on_demand", 80.0),
    ("azure", "westeurope", None, "nd-h200", "on_demand", 75.0),
)
# cloud, region, machine, capacity, USD per hour, vCPUs, GiB, architecture
CPU_PRICES: tuple[tuple[str, str, str, str, float | None, int, int, str], ...] = (
    ("aws", "us-east-2", "c7i.24xlarge", "on_demand", 4.25, 96, 192, "x86_64"),
    ("aws", "us-east-2", "c7i.24xlarge", "spot", 1.5, 96, 192, "x86_64"),
    ("aws", "us-east-2", "m7i.8xlarge", "on_demand", 1.625, 32, 128, "x86_64"),
    ("aws", "us-east-2", "c7g.16xlarge", "on_demand", 0.5, 64, 128, "arm64"),
    ("aws", "eu-west-1", "c7i.24xlarge", "on_demand", 5.0, 96, 192, "x86_64"),
    ("gcp", "us-central1", "c3-standard-88", "on_demand", 4.5, 88, 352, "x86_64"),
    ("azure", "eastus", "D96s", "on_demand", 4.75, 96, 384, "x86_64"),
)
EXTRA_PRICES = {
    "disk": (0.08, "GB-month"),
    "object storage": (0.023, "GB-month"),
    "control plane": (0.1, "cluster-hour"),
    "system node": (0.096, "hour"),
    "NAT gateway": (0.045, "hour"),
    "NAT data": (0.045, "GB"),
    "internet egress": (0.09, "GB"),
}


def gpu_offers() -> pl.DataFrame:
    """The GPU offers, one row per price."""
    rows = []
    for cloud, region, zone, kind, capacity, usd in GPU_PRICES:
        gpu, count, vcpus, memory, network = GPU_MACHINES[kind]
        quality = "list" if usd is not None else "unknown"
        rows.append(
            (
                cloud,
                region,
                zone,
                kind,
                capacity,
                usd,
                DAY,
                "book",
                quality,
                vcpus,
                memory,
                gpu,
                count,
                None,
                network,
                None,
                None,
                "x86_64",
            )
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def cpu_offers() -> pl.DataFrame:
    """The machines for sandboxes; azure westeurope has none."""
    rows = [
        (
            cloud,
            region,
            None,
            kind,
            capacity,
            usd,
            DAY,
            "book",
            "list",
            vcpus,
            memory,
            None,
            0,
            None,
            50.0,
            None,
            None,
            arch,
        )
        for cloud, region, kind, capacity, usd, vcpus, memory, arch in CPU_PRICES
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def extras() -> pl.DataFrame:
    """Prices besides machines, the same in every cloud."""
    rows = [
        (cloud, "*", item, EXTRA_PRICES[what][1], EXTRA_PRICES[what][0], DAY, "book", "stored", None)
        for what, items in ITEMS.items()
        for cloud, item in items.items()
    ]
    columns = ("cloud", "region", "item", "unit", "usd", "as_of", "source", "verified", "note")
    kinds = {"usd": pl.Float64, "as_of": pl.Date}
    return pl.DataFrame(rows, schema={name: kinds.get(name, pl.String) for name in columns}, orient="row")


def token_prices() -> pl.DataFrame:
    """One model behind an API, $2 in, $0.2 cached, $10 out per million tokens."""
    return pl.DataFrame(
        {
            "model": ["acme-coder-1"],
            "from_input_tokens": [0.0],
            "input_usd_per_million_tokens": [2.0],
            "cached_input_usd_per_million_tokens": [0.2],
            "cache_write_usd_per_million_tokens": [2.5],
            "output_usd_per_million_tokens": [10.0],
            "batch_input_usd_per_million_tokens": [1.0],
            "batch_output_usd_per_million_tokens": [5.0],
            "as_of": [DAY],
            "source": ["book"],
        }
    )


@cache
def world() -> PlanInputs:
    """The small world."""
    return PlanInputs(
        find_model=find_model,
        find_gpu=find_gpu,
        gpus={gpu.name: gpu for gpu in load_gpus().values()},
        gpu_offers=gpu_offers(),
        cpu_offers=cpu_offers(),
        extras=extras(),
        token_prices=token_prices(),
        calibration=load_calibration(),
        book="tiny",
    )


RLCEF: Mapping[str, Any] = {
    "kind": "rlcef", "model": "Qwen/Qwen2.5-7B-Instruct", "steps": 100, "prompts_per_step": 64, "samples_per_prompt": 8,
    "prompt_tokens": 400, "response_tokens": {"mean": 1000, "p95": 3000}, "max_response_tokens": 8192,
    "sandbox": {"cpus": 1, "memory_gib": 1, "seconds": {"mean": 3, "p95": 10}},
}  # fmt: skip
SFT: Mapping[str, Any] = {
    "kind": "sft",
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "samples": 50_000,
    "sample_tokens": 2000,
    "seq_len": 4096,
}
EVALUATE: Mapping[str, Any] = {"kind": "evaluate", "benchmark": "evalplus", "model": "Qwen/Qwen2.5-7B-Instruct"}
ROLLOUT: Mapping[str, Any] = {
    "kind": "rollout",
    "model": "Qwen/Qwen2.5-7B-Instruct",
    "tasks": 200,
    "attempts": 2,
    "turns": 30,
    "max_context_tokens": 32_768,
    "resolve_rate": 0.3,
}
API_ROLLOUT: Mapping[str, Any] = {
    "kind": "rollout",
    "api": {"name": "acme-coder-1"},
    "tasks": 200,
    "attempts": 1,
    "turns": 30,
    "resolve_rate": 0.5,
}
SYNTHESIZE: Mapping[str, Any] = {
    "kind": "synthesize",
    "candidates": 20_000,
    "teacher": {"model": "Qwen/Qwen2.5-7B-Instruct"},
    "yields": {"tests_pass": 0.5},
}


def changed(stage: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A stage with some fields replaced; None removes one."""
    return {name: value for name, value in ({**stage} | fields).items() if value is not None}


def spec(*stages: Mapping[str, Any], **fields: Any) -> RunSpec:
    """A run of the given stages (one RLCEF stage if none)."""
    return RunSpec.model_validate({"name": "run", "stages": [dict(stage) for stage in stages or (RLCEF,)], **fields})


def plan(*stages: Mapping[str, Any], **fields: Any) -> Plan:
    """The plan of such a run in the small world, made once and without its sensitivities, a third of the time."""
    asked = repr((stages, fields))
    if asked not in MADE:
        with mock.patch("planners.plan.build.sensitivity", return_value=()):
            MADE[asked] = whole_plan(*stages, **fields)
    return MADE[asked]


MADE: dict[str, Plan] = {}


def whole_plan(*stages: Mapping[str, Any], **fields: Any) -> Plan:
    """The plan of such a run in the small world."""
    return build_plan(spec(*stages, **fields), world(), now=NOW)
