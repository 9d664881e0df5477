"""More plans made by hand: two stages, unknown prices, an API without GPUs, uncalibrated, infeasible."""

from __future__ import annotations

from datetime import date

from sample_plan import RLCEF_STAGE, alternative, band, line, phase, pool, rlcef_plan

from planners.plan.identity import with_id
from planners.plan.value import (
    Assumption,
    Calibrated,
    Idle,
    Narrow,
    Plan,
    PriceAge,
    Sensitivity,
    StagePlan,
    UnitCost,
    Unpriced,
)

SYNTHESIZE = StagePlan(
    name="triples",
    kind="synthesize",
    title="Synthetic triples by Qwen2.5-72B-Instruct, 400,000 items",
    unit="1,000 items",
    units=400,
    seconds_per_unit=band(88, 121, 190),
    hours=band(10.1, 13.9, 21.6),
    usd=band(2_600, 3_560, 5_500),
    layout={"rollout": "rollout TP 4 × 8 replicas"},
    memory=None,
    narrow=(Narrow(input="yield", width_now=2.1, width_then=1.6),),
    phases=(
        phase("teacher", "teacher", 74.0, 121.0, "decode compute", pool="rollout"),
        phase("student", "student", 30.0, 121.0, "HBM bandwidth", pool="rollout"),
        phase(
            "sandbox",
            "sandbox",
            41.0,
            121.0,
            "queue: sandboxes 71 % busy; beside the models",
            17.0,
            pool="sandbox",
            start_seconds=80.0,
        ),
    ),
    demand={"teacher tokens": 1.9e9, "GPU-hours": 445.0, "accepted triples": 171_000},
    waste_hours={"boot": 0.08, "image pull": 0.05, "warm-up": 0.3},
    idle=Idle(gpu_hours=1.2, usd=8.3, slots_busy_share=0.71, reason="the sandbox works beside the models"),
    calibrated=Calibrated(cases=0, outside=("no published run of this kind",)),
)
SFT = StagePlan(
    name="sft",
    kind="sft",
    title="SFT of Qwen2.5-Coder-7B on 171,000 triples, 2 epochs",
    unit="step",
    units=1_336,
    seconds_per_unit=band(4.81, 5.52, 6.6),
    hours=band(1.9, 2.2, 2.7),
    usd=band(850, 970, 1_190),
    layout={"dp": 32},
    memory=None,
    phases=(
        phase("train", "train", 5.31, 5.52, "BF16 compute, MFU 38 %", pool="trainer"),
        phase("loader", "data loader", 0.21, 5.52, "storage", pool="trainer"),
    ),
    demand={"trained tokens": 7.0e8, "GPU-hours": 70.4},
    waste_hours={"boot": 0.08, "warm-up": 0.07},
    idle=None,
    calibrated=Calibrated(cases=21, own_runs=2),
)


def two_stage_plan() -> Plan:
    """Synthesize, then fine-tune, in one file."""
    return rlcef_plan(
        name="triples-sft",
        stages=(SYNTHESIZE, SFT),
        hours=band(12.4, 16.1, 24.0),
        usd=band(3_560, 4_540, 6_610),
        usd_per_hour=282.0,
        pools=(
            pool(
                "pool.triples.rollout", "triples", "rollout", "p5.48xlarge", 4, 55.04, 13.9, gpu="H100", gpus_per_node=8
            ),
            pool("pool.triples.sandbox", "triples", "sandbox", "c7i.24xlarge", 8, 4.284, 13.9, slots=768),
            pool("pool.sft.trainer", "sft", "trainer", "p5.48xlarge", 8, 55.04, 2.2, gpu="H100", gpus_per_node=8),
        ),
        lines=(
            line("line.1", "triples", "p5.48xlarge, on demand", "node-hours", 55.6, 55.04),
            line("line.2", "triples", "c7i.24xlarge, on demand", "node-hours", 111.2, 4.284),
            line("line.3", "sft", "p5.48xlarge, on demand", "node-hours", 17.6, 55.04),
            line("line.4", "sft", "checkpoints, object storage", "GiB-months", 310.0, 0.023),
        ),
        economics=(UnitCost(name="per accepted triple", usd=0.0266, formula="4,540 / 171,000 triples"),),
        spec={"name": "triples-sft", "stages": [{"kind": "synthesize"}, {"kind": "sft"}]},
        alternatives=(
            alternative(
                1,
                "cheapest",
                "4 × p5.48xlarge + 8 × c7i.24xlarge",
                ("aws", "us-east-2", "on_demand"),
                ("H100", 32),
                hours=band(12.4, 16.1, 24.0),
                usd=band(3_560, 4_540, 6_610),
                sandbox_nodes=8,
            ),
        ),
        warnings=("stage triples: no published run is like it; its band is an assumption",),
    )


def unpriced_plan() -> Plan:
    """The sandbox pool and the egress have no price: the total is at least what it says; spot prices are old."""
    spot = date(2026, 6, 2)
    return rlcef_plan(
        fleet="gcp us-central1, spot",
        at_least=True,
        usd=band(8_100, 9_900, 14_800),
        usd_per_hour=None,
        economics=(
            UnitCost(name="per 1,000 rewarded samples", usd=12.08, at_least=True, formula="9,900 / 819.2 thousand"),
            UnitCost(name="break-even: unknown × solved task", usd=3.0, formula="at least $9,900 / $3"),
        ),
        prices=PriceAge(
            newest=date(2026, 11, 1), oldest=spot, age_days=174, spot_age_days=174, book="embedded, 2026-11-01"
        ),
        pools=(
            pool(
                "pool.rlcef.trainer",
                "rlcef",
                "trainer+rollout",
                "a3-highgpu-8g",
                8,
                39.9,
                31.0,
                gpu="H100",
                gpus_per_node=8,
                cloud="gcp",
                region="us-central1",
                capacity_type="spot",
                price_as_of=spot,
                price_source="GCP spot, 2026-06-02",
            ),
            pool(
                "pool.rlcef.sandbox",
                "rlcef",
                "sandbox",
                "c4-highcpu-96",
                12,
                None,
                31.0,
                slots=1152,
                cloud="gcp",
                region="us-central1",
                price_as_of=None,
                price_source="",
            ),
        ),
        lines=(
            line(
                "line.1",
                "rlcef",
                "a3-highgpu-8g, spot",
                "node-hours",
                248.0,
                39.9,
                as_of=spot,
                source="GCP spot, 2026-06-02",
            ),
            line("line.2", "rlcef", "c4-highcpu-96, on demand", "node-hours", 372.0, None, as_of=None, source=""),
            line("line.3", "rlcef", "egress between regions", "GiB", 64.0, None, as_of=None, source=""),
        ),
        unpriced=(
            Unpriced(
                name="c4-highcpu-96, us-central1, on demand",
                why="not in the price book; give it under prices: or refresh",
            ),
            Unpriced(name="egress between regions", why="Google publishes no list price for this pair"),
        ),
        stages=(RLCEF_STAGE.model_copy(update={"usd": None}),),
        warnings=("spot prices are 174 days old; the newest ones may be twice as high",),
    )


def api_plan() -> Plan:
    """Agent rollouts by API: sandboxes and tokens, no GPU of ours."""
    stage = StagePlan(
        name="rollout",
        kind="rollout",
        title="mini-swe-agent on 500 tasks by claude-sonnet-4.5, 4 attempts",
        unit="attempt",
        units=2000,
        seconds_per_unit=band(310, 520, 990),
        hours=band(2.1, 3.4, 6.6),
        usd=band(2_010, 3_108.77, 5_200),
        layout={"at once": 96},
        memory=None,
        idle=None,
        waste_hours={"boot": 0.05, "image pull": 0.4},
        narrow=(),
        phases=(
            phase("api", "API", 401.0, 520.0, "provider's rate limit: 2 M tokens per minute"),
            phase("tools", "tool calls", 119.0, 520.0, "the commands themselves", pool="sandbox"),
        ),
        demand={"input tokens": 9.1e8, "cached tokens": 7.7e8, "output tokens": 2.2e7, "sandbox-hours": 289.0},
        calibrated=Calibrated(cases=0, outside=("API latency is an assumption",)),
    )
    return rlcef_plan(
        name="swe-api",
        stages=(stage,),
        hours=stage.hours,
        usd=stage.usd,
        usd_per_hour=17.1,
        fleet="aws us-east-2, on demand + API",
        pools=(pool("pool.rollout.sandbox", "rollout", "sandbox", "c7i.24xlarge", 4, 4.284, 3.4, slots=192),),
        lines=(
            line(
                "line.1",
                "rollout",
                "API input tokens, cached",
                "million tokens",
                770.0,
                0.30,
                source="provider's price page, 2026-10-28",
            ),
            line(
                "line.2",
                "rollout",
                "API input tokens",
                "million tokens",
                140.0,
                3.0,
                source="provider's price page, 2026-10-28",
            ),
            line(
                "line.3",
                "rollout",
                "API output tokens",
                "million tokens",
                160.0,
                15.0,
                source="provider's price page, 2026-10-28",
            ),
            line("line.4", "rollout", "c7i.24xlarge, on demand", "node-hours", 13.6, 4.284),
        ),
        economics=(
            UnitCost(name="per attempt", usd=1.554, formula="3,109 / 2,000 attempts"),
            UnitCost(name="per solved task", usd=9.72, formula="3,109 / 320 solved tasks"),
        ),
        spec={"name": "swe-api", "stages": [{"kind": "rollout"}]},
        alternatives=(),
        sensitivity=(
            Sensitivity(
                input="rollout.turns.mean",
                low="31",
                high="78",
                usd_low=2_020,
                usd_high=5_100,
                hours_low=2.3,
                hours_high=5.6,
            ),
        ),
        assumptions=(Assumption(name="rollout.cache_hit", value="85 %", source="default"),),
    )


def uncalibrated_plan() -> Plan:
    """MI300X: no calibration case, a wide band, and no wait for the sandbox."""
    stage = RLCEF_STAGE.model_copy(
        update={
            "calibrated": Calibrated(cases=0, outside=("GPU MI300X: no RL case", "engine sglang")),
            "idle": None,
            "hours": band(19.0, 36.0, 71.0),
            "usd": band(7_000, 13_300, 26_300),
        }
    )
    return rlcef_plan(
        fleet="azure eastus, on demand",
        stages=(stage,),
        hours=stage.hours,
        usd=stage.usd,
        pools=(
            pool(
                "pool.rlcef.trainer",
                "rlcef",
                "trainer+rollout",
                "Standard_ND96isr_MI300X_v5",
                8,
                46.0,
                36.0,
                gpu="MI300X",
                gpus_per_node=8,
                cloud="azure",
                region="eastus",
            ),
            pool(
                "pool.rlcef.sandbox",
                "rlcef",
                "sandbox",
                "Standard_F72s_v2",
                16,
                3.045,
                36.0,
                slots=1152,
                cloud="azure",
                region="eastus",
            ),
        ),
        warnings=("no published run with this GPU and engine: the band is an assumption, not a measurement",),
    )


def infeasible_plan() -> Plan:
    """What was asked for cannot be had; the plan holds the nearest that can."""
    plan = rlcef_plan(
        feasible=False,
        warnings=("no fleet keeps limits.hours = 12; the nearest needs 19 h (16 nodes more than limits.gpus = 64)",),
    )
    return with_id(plan)
