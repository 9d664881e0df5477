"""Where the hours of a stage come from: seconds per unit, phases, inputs, constants, data sheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from planners.domain import GpuSpec
from planners.physics.calibration import Calibration
from planners.physics.columns import one
from planners.physics.constants import PRIORS, Constants
from planners.plan.options import ChosenStage
from planners.plan.plan_rows import Term
from planners.plan.uncertainty import named
from planners.plan.value import Phase, StagePlan
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
        inputs: Iterable[str] = (),
    ) -> str:
        """Records a term and returns its id.  A value that is not finite is recorded as unknown."""
        known = None if isinstance(value, float) and not np.isfinite(value) else value
        new = Term(
            id=identity, label=label, value=known, unit=unit, formula=formula, source=source, inputs=tuple(inputs)
        )
        self.by_id.setdefault(identity, new)
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
    terms.add(f"band.{name}", "80% band of the hours, as factors", f"× {low:.2f} to × {high:.2f}", "", source=width)
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
