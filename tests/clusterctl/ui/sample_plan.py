"""Plans made by hand: realistic numbers that fit together, for tests and goldens of everything that draws a plan."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from planners.plan.identity import with_id
from planners.plan.value import (
    Alternative,
    Assumption,
    Band,
    Calibrated,
    Idle,
    Line,
    Memory,
    Narrow,
    Phase,
    Plan,
    Pool,
    PriceAge,
    Rejection,
    Sensitivity,
    StagePlan,
    Term,
    UnitCost,
)

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
PRICED = date(2026, 11, 1)
AWS_LIST = "AWS price list, us-east-2, 2026-11-01"


def band(p10: float, p50: float, p90: float) -> Band:
    return Band(p10=p10, p50=p50, p90=p90)


def pool(
    identity: str, stage: str, role: str, instance: str, nodes: int, price: float | None, hours: float, **more: Any
) -> Pool:
    fields = {
        "cloud": "aws",
        "region": "us-east-2",
        "capacity_type": "on_demand",
        "price_as_of": PRICED,
        "price_source": AWS_LIST,
    }
    return Pool(
        id=identity,
        stage=stage,
        role=role,
        instance_type=instance,
        nodes=nodes,
        usd_per_node_hour=price,
        hours=hours,
        usd=None if price is None else nodes * price * hours,
        **{**fields, **more},
    )


def line(identity: str, stage: str, name: str, unit: str, quantity: float, price: float | None, **more: Any) -> Line:
    usd = None if price is None else quantity * price
    fields = {"as_of": PRICED, "source": AWS_LIST, **more}
    return Line(
        id=identity, stage=stage, name=name, unit=unit, quantity=quantity, usd_per_unit=price, usd=usd, **fields
    )


def phase(
    identity: str, name: str, seconds: float, total: float, bound_by: str, exposed: float | None = None, **more: Any
) -> Phase:
    shown = seconds if exposed is None else exposed
    return Phase(
        id=identity, name=name, seconds=seconds, exposed_seconds=shown, share=shown / total, bound_by=bound_by, **more
    )


def alternative(
    number: int,
    label: str,
    fleet: str,
    place: tuple[str, str, str],
    gpus: tuple[str, int],
    *,
    hours: Band,
    usd: Band,
    sandbox_nodes: int = 12,
    interruptions: float = 0.04,
) -> Alternative:
    cloud, region, capacity = place
    return Alternative(
        number=number,
        label=label,
        fleet=fleet,
        cloud=cloud,
        region=region,
        capacity_type=capacity,
        gpu=gpus[0],
        gpus=gpus[1],
        sandbox_nodes=sandbox_nodes,
        hours=hours,
        usd=usd,
        interruptions=interruptions,
    )


RLCEF_PHASES = (
    phase("generate", "generate", 139.0, 262.0, "HBM bandwidth; long-tail samples take 41 s", pool="rollout", start_seconds=0.0,
          parts={"decode": 118.0, "prefill": 9.0, "tail": 41.0}),
    phase("sandbox", "sandbox", 58.0, 262.0, "queue: sandboxes 93 % busy", pool="sandbox", start_seconds=139.0),
    phase("logprob", "log-prob", 11.3, 262.0, "BF16 compute", pool="trainer", start_seconds=197.0),
    phase("train", "train", 44.6, 262.0, "BF16 compute, MFU 41 %", pool="trainer", start_seconds=208.3,
          parts={"gemm": 29.0, "attention": 6.1, "exposed communication": 9.5}),
    phase("sync", "weight sync", 9.1, 262.0, "one NIC per node", pool="trainer", start_seconds=252.9),
)  # fmt: skip

RLCEF_STAGE = StagePlan(
    name="rlcef",
    kind="rlcef",
    title="GRPO on Qwen2.5-Coder-32B-Instruct, 400 steps",
    unit="step",
    units=400,
    seconds_per_unit=band(228, 262, 342),
    hours=band(27.0, 31.0, 40.4),
    usd=band(13_100, 15_437.2, 20_300),
    layout={
        "schedule": "colocated",
        "train tp": 8,
        "train pp": 1,
        "train dp": 8,
        "rollout": "rollout TP 2 × 32 replicas",
    },
    phases=RLCEF_PHASES,
    demand={
        "generated tokens": 2.46e9,
        "prompt tokens": 3.3e8,
        "trained tokens": 2.8e9,
        "GPU-hours": 1984.0,
        "sandbox-hours": 910.0,
        "sandbox starts per second": 35.3,
    },
    waste_hours={
        "boot": 0.08,
        "image pull": 0.05,
        "warm-up": 0.07,
        "evaluation": 1.1,
        "failures": 0.29,
        "checkpoints": 0.3,
    },
    memory=Memory(
        hbm_gib=79.6,
        train_gib={"weights": 7.6, "gradients": 15.3, "optimizer": 5.7, "activations": 21.4, "buffers": 6.0},
        rollout_gib={"weights": 30.5, "KV cache": 24.1, "buffers": 4.0},
    ),
    idle=Idle(
        gpu_hours=412.4,
        usd=2837.0,
        cure_nodes=4,
        cure_usd=531.2,
        slots_busy_share=0.93,
        starts_per_second=35.3,
        reason="8,192 judgings arrive within 40 s of each other; 1,152 sandboxes work them off",
    ),
    calibrated=Calibrated(cases=14, outside=("response length 3,000 tokens: calibrated to 2,400",)),
    narrow=(
        Narrow(input="response_tokens as a file of measured lengths", width_now=1.50, width_then=1.29),
        Narrow(input="attention_kernel", width_now=1.50, width_then=1.46),
    ),
)

RLCEF_LINES = (
    line("line.1", "rlcef", "p5.48xlarge, on demand", "node-hours", 248.0, 55.04),
    line("line.2", "rlcef", "c7i.24xlarge, on demand", "node-hours", 372.0, 4.284),
    line("line.3", "rlcef", "checkpoints, object storage", "GiB-months", 3810.0, 0.023),
    line("line.4", "rlcef", "node disks, gp3", "GiB-months", 382.0, 0.08),
    line("line.5", "rlcef", "egress to the internet", "GiB", 140.0, 0.09),
    line("line.6", "rlcef", "Kubernetes control plane", "hours", 31.0, 0.10),
    line("line.7", "rlcef", "NAT gateway", "hours", 31.0, 0.045),
)

RLCEF_ALTERNATIVES = (
    alternative(1, "", "8 × p5.48xlarge + 12 × c7i.24xlarge", ("aws", "us-east-2", "on_demand"), ("H100", 64),
                hours=band(27.0, 31.0, 40.4), usd=band(13_100, 15_437.2, 20_300)),
    alternative(2, "cheapest", "6 × a3-highgpu-8g + 10 × c3-standard-88", ("gcp", "us-central1", "spot"), ("H100", 48),
                hours=band(37, 44, 61), usd=band(8_600, 10_900, 16_100), sandbox_nodes=10, interruptions=5.3),
    alternative(3, "", "4 × p5.48xlarge + 8 × c7i.24xlarge", ("aws", "us-east-2", "on_demand"), ("H100", 32),
                hours=band(48, 56, 72), usd=band(11_600, 13_800, 17_900), sandbox_nodes=8),
    alternative(4, "less risk", "8 × p5.48xlarge + 12 × c7i.24xlarge", ("aws", "us-west-2", "capacity_block"), ("H100", 64),
                hours=band(27, 31, 40), usd=band(15_900, 16_900, 18_200), interruptions=0.02),
    alternative(5, "", "8 × Standard_ND96isr_H200_v5 + 12 × Standard_F96s_v2", ("azure", "eastus", "on_demand"), ("H200", 64),
                hours=band(21, 25, 33), usd=band(15_600, 18_900, 24_800)),
    alternative(6, "fastest", "16 × p5.48xlarge + 20 × c7i.24xlarge", ("aws", "us-east-2", "on_demand"), ("H100", 128),
                hours=band(16, 19, 26), usd=band(17_400, 20_900, 28_300), sandbox_nodes=20, interruptions=0.05),
)  # fmt: skip

RLCEF_SPEC: dict[str, Any] = {
    "name": "rlcef-32b",
    "stages": [
        {
            "kind": "rlcef", "model": "Qwen/Qwen2.5-Coder-32B-Instruct", "algorithm": "grpo", "steps": 400,
            "prompts_per_step": 128, "samples_per_prompt": 16, "response_tokens": {"mean": 3000, "p95": 9000},
            "sandbox": {"cpus": 1, "memory_gib": 2, "seconds": {"mean": 4, "p95": 20}},
        }
    ],
    "fleet": {"targets": ["aws", "gcp", "azure"], "gpus": ["H100", "H200"]},
    "limits": {"usd": 60_000, "hours": 72},
    "objective": "balanced",
}  # fmt: skip

RLCEF_MOVERS = (
    Sensitivity(input="rlcef.response_tokens.mean", low="1,900", high="4,700", usd_low=12_100, usd_high=21_800, hours_low=24.3, hours_high=43.9),
    Sensitivity(input="rlcef.sandbox.seconds.mean", low="2.5", high="6.4", usd_low=14_300, usd_high=17_600, hours_low=28.6, hours_high=35.3),
    Sensitivity(input="MFU of training on H100", low="47 %", high="35 %", usd_low=14_700, usd_high=16_500, hours_low=29.5, hours_high=33.1),
)  # fmt: skip


def term(
    identity: str, label: str, value: float | str | None, unit: str, formula: str = "", source: str = "", *inputs: str
) -> tuple[str, Term]:
    return identity, Term(
        id=identity, label=label, value=value, unit=unit, formula=formula, source=source, inputs=inputs
    )


RLCEF_TERMS = dict(
    (
        term(
            "usd", "dollars of the run", 15437.2, "USD", "sum of the bill", "", "line.1", "line.2", "line.3", "line.4"
        ),
        term(
            "line.1", "p5.48xlarge, on demand", 13649.92, "USD", "node-hours × price", "", "line.1.quantity", "price.p5"
        ),
        term(
            "line.1.quantity",
            "node-hours",
            248.0,
            "node-hours",
            "nodes × hours",
            "",
            "pool.rlcef.trainer.nodes",
            "hours",
        ),
        term("pool.rlcef.trainer.nodes", "GPU nodes", 8.0, "nodes", "", "chosen by the search, `--explain fleet`"),
        term("price.p5", "p5.48xlarge, us-east-2, on demand", 55.04, "USD/node-hour", "", AWS_LIST),
        term("line.2", "c7i.24xlarge, on demand", 1593.6, "USD", "node-hours × price", "", "price.c7i"),
        term("price.c7i", "c7i.24xlarge, us-east-2, on demand", 4.284, "USD/node-hour", "", AWS_LIST),
        term("line.3", "checkpoints, object storage", 87.6, "USD", "GiB-months × price", AWS_LIST),
        term("line.4", "node disks, gp3", 30.6, "USD", "GiB-months × price", AWS_LIST),
        term(
            "hours",
            "hours of the run",
            31.0,
            "h",
            "steps × seconds per step + overhead",
            "",
            "steps",
            "step.rlcef",
            "waste.rlcef",
        ),
        term("steps", "optimizer steps", 400.0, "steps", "", "the spec: stages[0].steps"),
        term(
            "step.rlcef",
            "seconds per step",
            262.0,
            "s",
            "generate + sandbox + log-prob + train + sync",
            "",
            "phase.rlcef.generate",
        ),
        term(
            "phase.rlcef.generate",
            "generate",
            139.0,
            "s",
            "makespan of the longest replica",
            "docs/ACCURACY.md",
            "hbm.H100",
            "length",
        ),
        term("hbm.H100", "HBM bandwidth of H100", 3.35e12, "bytes/s", "", "NVIDIA H100 datasheet"),
        term("length", "response tokens, mean", 3000.0, "tokens", "", "the spec: stages[0].response_tokens.mean"),
        term("waste.rlcef", "overhead", 1.89, "h", "boot + pull + warm-up + evaluation + failures + checkpoints"),
    )
)

REJECTIONS = (
    Rejection(rule="memory", count=18_204, reason="weights, optimizer and KV cache need more HBM than the GPU has",
              examples=("p5.48xlarge × 1, tp 8: 131 GiB of 79.6 GiB", "a3-highgpu-8g × 1, tp 4 pp 2: 128 GiB of 79.6 GiB")),
    Rejection(rule="hours", count=3_377, reason="takes longer than limits.hours (72 h)", examples=("p5.48xlarge × 2: 104 h",)),
    Rejection(rule="no_price", count=212, reason="no price is known for this offer", examples=("a4x-highgpu-4g in us-central1",)),
)  # fmt: skip


def rlcef_plan(**changes: Any) -> Plan:
    """RLCEF GRPO on a 32B model: one stage, a GPU pool and a sandbox pool, all prices known."""
    fields: dict[str, Any] = {
        "id": "",
        "created_at": NOW,
        "name": "rlcef-32b",
        "objective": "balanced",
        "spec": RLCEF_SPEC,
        "prices": PriceAge(newest=PRICED, oldest=PRICED, age_days=22, spot_age_days=None, book="embedded, 2026-11-01"),
        "calibration": "c-4f1d20a9",
        "fleet": "aws us-east-2, on demand",
        "hours": RLCEF_STAGE.hours,
        "usd": RLCEF_STAGE.usd,
        "at_least": False,
        "usd_per_hour": 491.9,
        "stages": (RLCEF_STAGE,),
        "pools": (
            pool(
                "pool.rlcef.trainer",
                "rlcef",
                "trainer+rollout",
                "p5.48xlarge",
                8,
                55.04,
                31.0,
                gpu="H100",
                gpus_per_node=8,
            ),
            pool("pool.rlcef.sandbox", "rlcef", "sandbox", "c7i.24xlarge", 12, 4.284, 31.0, slots=1152),
        ),
        "lines": RLCEF_LINES,
        "alternatives": RLCEF_ALTERNATIVES,
        "frontier_chosen": 1,
        "rejections": REJECTIONS,
        "candidates": 1_204_117,
        "sensitivity": RLCEF_MOVERS,
        "assumptions": (
            Assumption(name="rlcef.prompt_tokens.mean", value="400", source="default: HumanEval-size prompts"),
            Assumption(name="rlcef.engine", value="vllm", source="default"),
            Assumption(
                name="preemptions per spot node-hour", value="0.02", source="assumption; clouds publish no rate"
            ),
        ),
        "unpriced": (),
        "warnings": (),
        "economics": (
            UnitCost(name="per 1,000 rewarded samples", usd=18.84, formula="15,437 / 819.2 thousand samples"),
            UnitCost(name="per step", usd=38.59, formula="15,437 / 400 steps"),
        ),
        "terms": RLCEF_TERMS,
        **changes,
    }
    return with_id(Plan(**fields))
