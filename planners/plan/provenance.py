"""Where every number of a plan comes from: a graph of terms, each with formula, inputs and source.

Where the hours of a stage come from: seconds per unit, phases, inputs, constants, data sheets.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from planners.physics.columns import one
from planners.physics.constants import PRIORS
from planners.plan.uncertainty import named
from planners.plan.value import Term

if TYPE_CHECKING:
    from collections.abc import Sequence

    from planners.domain import GpuSpec
    from planners.physics.calibration import Calibration
    from planners.physics.constants import Constants
    from planners.plan.cost_lines import EstimateLine
    from planners.plan.options import ChosenStage
    from planners.plan.value import Line, Phase, Pool, StagePlan, UnitCost
    from planners.search.evaluate import Shortlist
    from planners.workload.stage_work import Generation, StageWork

ACCURACY = "fitted on published runs, docs/ACCURACY.md"


class Terms:
    """Collects terms; an id is written once."""

    def __init__(self) -> None:
        self.by_id: dict[str, Term] = {}

    def add(
        self,
        identity: str,
        label: str,
        value: float | str | None,
        unit: str,
        *,
        formula: str = "",
        source: str = "",
        inputs: Sequence[str] = (),
    ) -> str:
        """Records a term and returns its id.  A value that is not finite is recorded as unknown."""
        if isinstance(value, float) and not np.isfinite(value):
            value = None
        self.by_id.setdefault(
            identity,
            Term(
                id=identity, label=label, value=value, unit=unit, formula=formula, source=source, inputs=tuple(inputs)
            ),
        )
        return identity

    def constants(self, names: Sequence[str], constants: Constants) -> list[str]:
        """Terms of fitted constants."""
        priors = {prior.name: prior for prior in PRIORS}
        return [
            self.add(
                f"constant.{name}",
                priors[name].meaning,
                float(getattr(constants, name)),
                priors[name].unit,
                source=ACCURACY if priors[name].fitted else f"held ({priors[name].source}); docs/ACCURACY.md",
            )
            for name in names
        ]


def line_terms(terms: Terms, line: Line, cost: EstimateLine) -> str:
    """A line of the bill: quantity × price, with where the quantity comes from and the price's source and date."""
    dated = f"{line.source}, {line.as_of:%Y-%m-%d}" if line.as_of else line.source
    price = terms.add(
        f"{line.id}.price", f"price of {line.name}", line.usd_per_unit, f"USD per {line.unit}", source=dated
    )
    quantity = terms.add(
        f"{line.id}.quantity",
        line.unit,
        line.quantity,
        line.unit,
        formula=cost.amount,
        inputs=(f"hours.{line.stage}",) if cost.scales_with_hours else (),
    )
    return terms.add(line.id, line.name, line.usd, "USD", formula="quantity × price", inputs=(quantity, price))


def pool_terms(terms: Terms, pool: Pool) -> str:
    """A pool: nodes, which the search chose, at a price."""
    dated = f"{pool.price_source}, {pool.price_as_of:%Y-%m-%d}" if pool.price_as_of else pool.price_source
    nodes = terms.add(
        f"{pool.id}.nodes", f"{pool.instance_type} nodes", float(pool.nodes), "nodes", source="chosen by the search"
    )
    price = terms.add(
        f"{pool.id}.price", f"price of {pool.instance_type}", pool.usd_per_node_hour, "USD/hour", source=dated
    )
    return terms.add(
        pool.id,
        f"{pool.role} pool",
        pool.usd,
        "USD",
        formula="nodes × hours × price",
        inputs=(nodes, price, f"hours.{pool.stage}"),
    )


def idle_terms(terms: Terms, plan: StagePlan, pools: Sequence[Pool]) -> None:
    """What the sandbox fleet costs in GPU time, from the seconds of a unit and the price of a GPU node."""
    gpus = next((pool for pool in pools if pool.stage == plan.name and pool.gpu), None)
    if plan.idle is None or gpus is None:
        return
    each = terms.add(
        f"{gpus.id}.gpus_per_node",
        f"GPUs of {gpus.instance_type}",
        float(gpus.gpus_per_node),
        "GPUs",
        source=gpus.price_source,
    )
    waited = terms.add(
        f"idle.{plan.name}.gpu_hours",
        "GPU-hours that wait for the sandboxes",
        plan.idle.gpu_hours,
        "GPU-hours",
        formula="GPUs × (seconds per unit - the same if sandboxes cost no time) × units / 3600",
        inputs=(f"unit.{plan.name}", f"units.{plan.name}"),
    )
    terms.add(
        f"idle.{plan.name}",
        f"GPU time of {plan.name} that waits for the sandboxes",
        plan.idle.usd,
        "USD",
        formula="GPU-hours × price of a node / its GPUs",
        inputs=(waited, f"{gpus.id}.price", each),
    )


def run_terms(
    terms: Terms,
    *,
    plans: Sequence[StagePlan],
    lines: Sequence[Line],
    costs: Sequence[EstimateLine],
    pools: Sequence[Pool],
    unit_costs: Sequence[UnitCost],
    hours: float,
    usd: float | None,
) -> None:
    """The two headline numbers, the bill (`lines` are `costs` with an id, in the same order) and the pools."""
    ids = [f"hours.{plan.name}" for plan in plans]
    terms.add("hours", "hours of the run", hours, "hours", formula="stages, one after the other", inputs=ids)
    line_ids = [line_terms(terms, line, cost) for line, cost in zip(lines, costs, strict=True)]
    label, formula = "dollars of the run", "sum of the lines of the bill"
    if any(line.usd is None for line in lines):
        label, formula = f"{label}, at least", f"{formula} that have a price"
    terms.add("usd", label, usd, "USD", formula=formula, inputs=line_ids)
    for pool in pools:
        pool_terms(terms, pool)
    for cost in unit_costs:
        stage = cost.name.partition(": ")[0]
        inputs = [line.id for line in lines if line.stage == stage] or ["usd"]
        identity = "usd." + re.sub(r"[^a-z0-9]+", "_", cost.name.lower()).strip("_")
        label = f"{cost.name}, at least" if cost.at_least else cost.name
        terms.add(identity, label, cost.usd, "USD", formula=cost.formula, inputs=inputs)
    for plan in plans:
        idle_terms(terms, plan, pools)


PHASE_FORMULAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "generate": (
        "Σ over decode iterations of smooth_max(bytes of weights and KV cache / HBM, FLOPs / peak) + "
        "collectives + host time, until the longest sample ends; + prefill",
        ("decode_hbm_vllm", "decode_compute", "iteration_vllm_seconds", "prefill_compute", "response_log_sd"),
    ),
    "log-prob": ("one forward pass over the step's tokens", ("gemm_bf16_hopper", "attention_hopper")),
    "reference": ("one forward pass of the frozen reference", ("gemm_bf16_hopper", "attention_hopper")),
    "value": ("one forward pass of the critic", ("gemm_bf16_hopper", "attention_hopper")),
    "train": (
        "(linear + attention + elementwise + traffic) / GPUs, launches, pipeline bubble, data-parallel traffic, "
        "× stack factor + optimizer",
        ("gemm_bf16_hopper", "attention_hopper", "elementwise_traffic", "megatron_rl_overhead",
         "fsdp_post_training_overhead"),
    ),
    "critic train": ("as train, for the critic", ("gemm_bf16_hopper",)),
    "weight sync": (
        "fixed + 2 bytes × parameters × (reshard factor if colocated) / (share of one link) + offload if colocated",
        ("sync_fixed_seconds", "sync_nic_share", "colocated_reshard_factor"),
    ),
    "sandbox": ("backlog after generation + slowest tests + starts where sandboxes are held", ()),
    "API calls": ("requests / requests in flight × seconds per request", ()),
}  # fmt: skip

WASTE_SOURCES = {
    "start-up": "boot 300 s + pull 180 s + warm-up 240 s: assumptions, replaced by measured ones",
    "evaluation": "generation of the evaluation problems, each time the spec asks for it",
    "restarts and stragglers": "run_waste: what whole published runs took over their measured steps; docs/ACCURACY.md",
    "preemptions": "0.02 preemptions per spot node-hour × (restart + half a checkpoint interval): assumption",
}


def stage_terms(terms: Terms, plan: StagePlan, stage: ChosenStage, calibration: Calibration) -> str:
    """Records everything behind `hours.<stage>` and returns that id."""
    name = plan.name
    shared = _inputs(terms, stage.work, stage.shortlist.gpu(0))
    phase_ids = [_phase(terms, phase, shared, stage.shortlist, calibration.constants) for phase in plan.phases]
    split = plan.layout.get("schedule") in ("disaggregated", "async")
    formula = "max(rollout side, trainer side), smoothed, + weight sync" if split else "phases, one after the other"
    each = terms.add(
        f"unit.{name}", f"seconds per {plan.unit}", plan.seconds_per_unit.p50, "s", formula=formula, inputs=phase_ids
    )
    units = terms.add(f"units.{name}", f"{plan.unit}s", plan.units, plan.unit, source=f"the spec: stage {name}")
    work = terms.add(
        f"work.{name}",
        "work",
        one(stage.estimate.work_hours),
        "hours",
        formula="units × seconds per unit / 3600",
        inputs=(units, each),
    )
    wastes = [
        terms.add(f"waste.{name}.{kind.replace(' ', '-')}", kind, hours, "hours", source=WASTE_SOURCES[kind])
        for kind, hours in plan.waste_hours.items()
    ]
    low, high = plan.hours.p10 / plan.hours.p50, plan.hours.p90 / plan.hours.p50
    width = f"calibration {calibration.identity}: residuals of left-out published runs; docs/ACCURACY.md"
    width += f"; narrowed by {plan.calibrated.own_runs} of your runs" if plan.calibrated.own_runs else ""
    terms.add(f"band.{name}", "80 % band of the hours, as factors", f"× {low:.2f} to × {high:.2f}", "", source=width)
    return terms.add(
        f"hours.{name}", f"hours of {name}", plan.hours.p50, "hours", formula="work + overhead", inputs=(work, *wastes)
    )


def _inputs(terms: Terms, work: StageWork, gpu: GpuSpec | None) -> list[str]:
    """Data sheet, lengths and parameters that every phase on GPUs starts from."""
    rows: list[tuple[str, str, float, str, str]] = []
    if gpu is not None:
        rows += [
            (f"gpu.{gpu.name}.flops", f"{gpu.name} dense bf16 peak", gpu.bf16_flops, "FLOP/s", gpu.source),
            (f"gpu.{gpu.name}.hbm", f"{gpu.name} HBM bandwidth", gpu.hbm_bytes_per_s, "bytes/s", gpu.source),
        ]
    if work.generations:
        rows += _generation(work, work.generations[0])
    model = work.training.model if work.training else (work.generations[0].model if work.generations else None)
    if model is not None:
        name, active = f"model.{model.name}", model.params_matmul_active
        rows += [
            (f"{name}.params", f"parameters of {model.name}", model.params_total, "parameters", model.source),
            (f"{name}.active", "parameters that multiply per token", active, "parameters", model.source),
        ]
    return [terms.add(identity, label, value, unit, source=source) for identity, label, value, unit, source in rows]


def _generation(work: StageWork, main: Generation) -> list[tuple[str, str, float, str, str]]:
    """Samples and lengths, each from the spec or assumed."""
    stage = work.stage
    stated = f"the spec: stage {stage}"
    known = main.response_tokens == main.response_tokens
    length = stated if known else "unknown: a fitted share of the longest response; docs/ACCURACY.md"
    return [
        (f"input.{stage}.samples", f"samples per {work.unit}", main.samples, "samples", stated),
        (f"input.{stage}.prompt_tokens", "prompt tokens, mean", main.prompt_tokens, "tokens", stated),
        (f"input.{stage}.response_tokens", "response tokens, mean", main.response_tokens, "tokens", length),
    ]


def _phase(terms: Terms, phase: Phase, shared: Sequence[str], shortlist: Shortlist, constants: Constants) -> str:
    formula, names = PHASE_FORMULAS.get(phase.name, PHASE_FORMULAS["generate"])
    inputs = [*shared, *terms.constants([_of_this_stack(name, shortlist) for name in names], constants)]
    if phase.name in ("sandbox", "API calls"):
        inputs = _sandbox(terms, shortlist) if phase.name == "sandbox" else []
    note = "part of the phase; parts overlap"
    parts = [
        terms.add(f"{phase.id}.{part.replace(' ', '-').replace(',', '')}", part, seconds, "s", source=note)
        for part, seconds in phase.parts.items()
        if seconds > 0
    ]
    if phase.own is not None and phase.own.runs:
        own = terms.add(f"{phase.id}.own", "factor of own runs", phase.own.factor, "", source=named(phase.own))
        formula, inputs = f"({formula}) × factor", [own, *inputs]
    return terms.add(phase.id, phase.name, phase.seconds, "s", formula=formula, inputs=(*parts, *inputs))


def _of_this_stack(constant: str, shortlist: Shortlist) -> str:
    """The constant of this GPU generation and engine, where PHASE_FORMULAS names that of the H100 and vLLM."""
    gpu, generations = shortlist.gpu(0), shortlist.work.generations
    if gpu is not None:
        constant = constant.replace("_hopper", f"_{gpu.generation}")
    engine = generations[0].options.engine if generations else "vllm"
    return constant.replace("_vllm", "_trtllm") if engine == "trtllm" else constant


def _sandbox(terms: Terms, shortlist: Shortlist) -> list[str]:
    work, wanted = shortlist.work, shortlist.work.sandbox_work
    if wanted is None:
        return []
    source, at = f"the spec or profile {wanted.profile}", f"input.{work.stage}.sandbox"
    slots = one(shortlist.usable_slots)
    return [
        terms.add(f"{at}.runs", f"judging runs per {work.unit}", wanted.calls, "runs", source=source),
        terms.add(f"{at}.seconds", "seconds per run, mean", wanted.service.mean_seconds, "s", source=source),
        terms.add(f"{at}.slots", "concurrent sandboxes", slots, "sandboxes", source="chosen by the search"),
    ]
