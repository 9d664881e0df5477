"""The chosen fleet of one stage, spelled out: phases with what bounds them, memory, layout, amounts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from planners.physics.codes import ASYNC, COLOCATED, MEGATRON, RECOMPUTES, SCHEDULES
from planners.physics.columns import Column, one
from planners.physics.constants import Constants
from planners.physics.decode import kv_copies
from planners.physics.memory import FEW_SEQUENCES, host_need_bytes, longest_sequence_bytes
from planners.physics.step import TRAINER_PHASES
from planners.plan.plan_rows import Memory
from planners.plan.sandbox_waits import sandbox_bound, starts_per_second, steady_wait_seconds
from planners.plan.value import Phase
from planners.search.evaluate import Shortlist, StageEstimate
from planners.search.feasible import rollout_memory, serving, train_memory
from planners.search.fleets import StageFleet
from planners.units import GIB
from planners.workload.weight_formats import served_weights
from planners.workload.work_columns import micro_batch, training_workload

_SCHEDULES = {code: name for name, code in SCHEDULES.items()}
_RECOMPUTES = {share: name.replace("none", "no") + " recompute" for name, share in RECOMPUTES.items()}


_Row = tuple[str, str, Column, str, Mapping[str, Column]]
"""Pool, phase, seconds, what bounds it (empty = the largest of its causes), seconds by cause."""


def phases(shortlist: Shortlist, result: StageEstimate) -> tuple[Phase, ...]:
    """Rows of the page: what a unit spends its seconds on.  `shortlist` holds one fleet.

    They take turns, but for API calls, which run beside generation and judges, and for two pools some steps apart: the
    shorter one is hidden behind the other.
    """
    rows = [*_rollout_rows(shortlist, result), *_trainer_rows(result)]
    unit = one(result.unit_seconds)
    split = result.timing.step is not None and one(result.timing.schedule) == ASYNC
    serving = sum(one(seconds) for pool, _, seconds, *_ in rows if pool == "rollout")
    sandbox, api = one(result.exposed), one(result.timing.api)
    rollout = max(serving, api) + sandbox
    trainer = sum(one(seconds) for pool, name, seconds, *_ in rows if pool == "trainer" and name != "weight sync")
    clock = {"trainer": 0.0, "rollout": 0.0}
    placed = []
    for pool, name, column, bound, causes in rows:
        seconds, parts = one(column), {cause: one(part) for cause, part in causes.items()}
        lane = "trainer" if pool == "trainer" and split else "rollout"
        hidden = split and name != "weight sync" and (pool == "trainer") == (trainer < rollout)
        alone = max(seconds - serving, 0.0) if pool == "api" else seconds
        exposed = 0.0 if hidden else alone
        phase = Phase(
            id=f"phase.{shortlist.work.stage}.{name.replace(' ', '-')}",
            name=name,
            seconds=seconds,
            exposed_seconds=exposed,
            share=exposed / max(unit, 1e-9),
            bound_by=bound or _bound(parts),
            parts=parts,
            pool=pool,
            start_seconds=unit - seconds if name == "weight sync" else clock[lane] - (seconds - alone),
        )
        placed.append(phase)
        if name != "weight sync":
            clock[lane] += alone
    return tuple(placed)


def _rollout_rows(shortlist: Shortlist, result: StageEstimate) -> Iterator[_Row]:
    timing, wanted = result.timing, shortlist.work.sandbox_work
    for number, (generation, generated) in enumerate(timing.generations):
        if number == 0 and timing.step is not None:
            yield "rollout", "generate", timing.generate, "", generated.parts
        else:
            yield "rollout", generation.role, generated.makespan_seconds, "", generated.parts
    if one(timing.critic) > 0:
        yield "rollout", "outcome critic", timing.critic, "compute", {}
    if shortlist.work.host is not None:
        yield "trainer", "generate", timing.generate, "one CPU core", {}
    if one(timing.api) > 0:
        yield "api", "API calls", timing.api, "requests in flight that the provider allows", {}
    if wanted is not None:
        yield "sandbox", "sandbox", result.exposed, sandbox_bound(wanted, shortlist, result), {}


def _trainer_rows(result: StageEstimate) -> Iterator[_Row]:
    timing, step = result.timing, result.timing.step
    if timing.supervised is not None:
        yield "trainer", "train", timing.supervised.seconds, "", timing.supervised.parts
    elif step is None and one(timing.trainer) > 0:
        yield "trainer", "train", timing.trainer, "one CPU core", {}
    if step is None or timing.supervised is not None:
        return
    for phase, name in TRAINER_PHASES.items():
        if phase != "weight sync" and one(getattr(step, name)) > 0:
            parts = step.train.parts if "train" in phase else step.log_prob.parts
            yield "trainer", phase, getattr(step, name), "", parts
    link = "NIC-bound broadcast" + (", then reshard" if one(timing.schedule) == COLOCATED else "")
    yield "trainer", "weight sync", step.sync_seconds, link, {}


def _bound(parts: dict[str, float]) -> str:
    """The largest part, and the second where it is more than half as large."""
    largest = sorted(((seconds, name) for name, seconds in parts.items() if seconds > 0), reverse=True)
    if not largest:
        return ""
    named = [name for seconds, name in largest[:2] if seconds > 0.5 * largest[0][0]]
    return "; ".join(named)


def memory(shortlist: Shortlist, constants: Constants) -> Memory | None:
    """GiB per GPU by what fills them.  `shortlist` holds one fleet."""
    if not shortlist.work.needs_gpus:
        return None
    at = shortlist.timing_context(constants, grid_points=2)
    work = shortlist.work
    train = train_memory(work, at).parts if work.training else {}
    rollout = rollout_memory(work, 0, at).parts if work.generations else {}
    sequences = one(rollout["KV cache"] / longest_sequence_bytes(serving(work, 0, at))) if rollout else FEW_SEQUENCES
    return Memory(
        hbm_gib=one(np.asarray(at.gpu.hbm_bytes)) / GIB,
        train_gib={name: one(size) / GIB for name, size in train.items()},
        rollout_gib={name: one(size) / GIB for name, size in rollout.items()},
        host_gib=one(host_need_bytes(training_workload(work, at))) / GIB if work.training else 0.0,
        rollout_sequences=round(sequences) if sequences < FEW_SEQUENCES else None,
    )


def layout(shortlist: Shortlist, constants: Constants) -> dict[str, float | str]:
    """The chosen layout in the field's words."""
    lay, work = shortlist.layouts, shortlist.work
    shown: dict[str, float | str] = {}
    if work.training is not None:
        shown |= {"sharding": shortlist.sharding(0), "dp": one(lay.dp)}
        degrees = {"tp": one(lay.tp), "pp": one(lay.pp), "cp": one(lay.cp), "ep": one(lay.ep)}
        shown |= {name: degree for name, degree in degrees.items() if degree > 1 or one(lay.sharding) == MEGATRON}
        shown["recompute"] = _RECOMPUTES[one(lay.recompute)]
    if work.training is not None and not work.training.rl:
        shown["micro batch"] = one(micro_batch(work.training, shortlist.timing_context(constants, grid_points=2)))
    if work.training is not None and work.training.rl:
        shown = {"schedule": _SCHEDULES[one(lay.schedule)], **shown}
    if work.generations:
        replicas = round(one(lay.rollout_gpus) // one(lay.replica))
        many = "" if replicas == 1 else "s"
        engine = serving(work, 0, shortlist.timing_context(constants, grid_points=2))
        stages, copies = one(engine.layout.rollout_pp), one(kv_copies(engine))
        tp = f"TP {one(lay.replica) / stages:g}" + (f" × PP {stages:g}" if stages > 1 else "")
        held = f", each KV head on {copies:g} GPUs" if copies > 1 else ""
        main = work.generations[0]
        dtype = served_weights(main.model, main.options.precision, policy=main.policy).dtype
        weights = f", weights in {dtype}" if dtype != "bf16" else ""
        shown["rollout"] = f"rollout {tp} × {replicas:,} replica{many}{held}{weights}"
    if work.training is not None and one(lay.schedule) != COLOCATED:
        shown |= {"train GPUs": one(lay.train_gpus), "rollout GPUs": one(lay.rollout_gpus)}
    return shown


def amounts(shortlist: Shortlist, fleet: StageFleet, result: StageEstimate) -> dict[str, float]:
    """Tokens, GPU-hours, sandbox-hours and starts of the whole stage."""
    work, total = shortlist.work, one(result.hours)
    shown: dict[str, float] = {}
    for generation, generated in result.timing.generations:
        written = generation.samples * generation.generated_per_used * one(generated.mean_response_tokens) * work.units
        shown[f"{generation.role} tokens"] = written
        shown[f"{generation.role} prompt tokens"] = generation.samples * generation.prompt_tokens * work.units
    if result.timing.step is not None:
        shown["trained tokens"] = one(result.timing.step.trained_tokens) * work.units
    elif work.training is not None:
        shown["trained tokens"] = work.training.batch_sequences * work.training.seq_len * work.units
    for use in work.apis:
        shown[f"{use.role} API input tokens"] = (use.input_tokens + use.cached_input_tokens) * work.units
        shown[f"{use.role} API output tokens"] = use.output_tokens * work.units
    if fleet.gpus is not None:
        shown["GPU-hours"] = one(shortlist.layouts.gpus) * total
    wanted = work.sandbox_work
    if wanted is not None:
        runs = wanted.trajectories if wanted.stateful else wanted.calls
        each = one(result.unit_seconds) if wanted.stateful else wanted.service.mean_seconds
        shown["sandbox runs"] = runs * work.units
        shown["sandbox-hours used"] = (
            min(runs * each, one(shortlist.usable_slots) * one(result.unit_seconds)) * work.units / 3600.0
        )
        shown["sandbox-hours paid"] = one(shortlist.slots) * total
        shown["sandbox starts per second"] = starts_per_second(wanted, result)
        wait = steady_wait_seconds(wanted, shortlist, result)
        if wait is not None:
            shown["seconds a sandbox run waits"] = round(wait, 3)
    return shown
