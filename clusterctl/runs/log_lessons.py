"""What the log of a run elsewhere says about a plan: its seconds by phase beside the planned ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from clusterctl.errors import ClusterctlError, SpecError
from clusterctl.frameworks.logs.run_log import RunLog
from clusterctl.json_text import json_text
from clusterctl.ledger.log_lesson import LogLesson, content_of
from clusterctl.plan_service import Planner, Source, load_world
from clusterctl.specfile.spec_file import check_spec
from planners.learn.fit import Observation
from planners.learn.observe import ENOUGH_STEPS, WARM_UP_STEPS, Unused, observe
from planners.plan.build import build_plan
from planners.plan.value import Plan, StagePlan
from planners.search.selection import NoFleetError
from planners.spec.run_spec import RunSpec
from planners.spec.stages_rl import RlcefStage
from planners.workload.factors import Factors

_TRAINING = ("sft", "pretrain", "dpo", "reward-model")
LENGTH_TOLERANCE = 0.02
"""So much may a stated mean length differ from the log's before the plan is made anew with the log's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """One log compared with one plan."""

    log: RunLog
    label: str
    """The file that the plan is of."""
    spec: RunSpec
    """As it was planned: with the log's lengths."""
    plan: Plan
    stage: StagePlan
    seen: Sequence[Observation]
    unused: Sequence[Unused]
    measured: Mapping[str, tuple[float, str]]
    """Planned phase -> median seconds of a step without the warm-up, and the log's name for it."""
    notes: Sequence[str]


def lesson(log: RunLog, source: Source, planner: Planner) -> Lesson:
    """Compare a log with the plan of a spec, or with a stored plan.

    The plan is made with the mean lengths that the log has, so that a factor stands for speed and not for length.
    Raises SpecError where nothing can be compared.
    """
    spec = check_spec(source.document)
    index = _stage_index(spec, log, source.label)
    changes, notes = _lengths(spec, index, log)
    plan = planner.plan(source, changes)
    stage = plan.stages[index]
    seconds, named = _seconds(log, stage, spec, plan, notes)
    if not seconds:
        known = ", ".join(phase.name for phase in stage.phases)
        measured = ", ".join(log.keys.values()) or "no phase"
        raise SpecError(f"{log.name}: has {measured}, but stage {stage.name} of {source.label} has {known}")
    seen, unused = observe(log.name, plan, {(stage.name, phase): values for phase, values in seconds.items()})
    own = [one for one in unused if one.phase.startswith(f"{stage.name}.")]
    measured_by_phase = {phase: (_steady(values), named[phase]) for phase, values in seconds.items()}
    return Lesson(
        log=log,
        label=source.label,
        spec=check_spec(source.document, changes),
        plan=plan,
        stage=stage,
        seen=seen,
        unused=own,
        measured=measured_by_phase,
        notes=(*notes, *log.notes),
    )


def kept_lesson(lesson: Lesson, path: str) -> LogLesson:
    """What the ledger remembers of it.  Its id is that of the log's figures: compared anew, a log still counts once."""
    log = lesson.log
    phases = {"+".join(covers): list(values) for covers, values in sorted(log.phases.items())}
    figures = [log.framework, phases, list(log.step_seconds), list(log.tokens_per_second_and_gpu)]
    return LogLesson(
        lesson_id=hashlib.sha256(json_text(figures).encode()).hexdigest()[:8],
        source=f"{Path(path).absolute()}, {log.framework}, beside {lesson.label}",
        content=content_of(lesson.seen),
        learned_at=lesson.plan.created_at,
    )


def plan_with(lesson: Lesson, factors: Factors) -> Plan | None:
    """The plan of a lesson if these factors were in use; None where no fleet satisfies its spec then."""
    try:
        return build_plan(lesson.spec, replace(load_world(lesson.spec), factors=factors), now=lesson.plan.created_at)
    except (ClusterctlError, NoFleetError):
        return None


def _stage_index(spec: RunSpec, log: RunLog, label: str) -> int:
    """The stage that a log is of: reinforcement learning where it generates, else the first that trains."""
    kinds = [stage.kind for stage in spec.stages]
    is_rl = (
        any("generate" in covers for covers in log.phases) or log.response_tokens is not None or log.reward is not None
    )
    wanted = ("rlcef",) if is_rl else (*_TRAINING, "rlcef")
    found = next((index for kind in wanted for index, one in enumerate(kinds) if one == kind), None)
    if found is None:
        what = "reinforcement learning" if is_rl else "training"
        raise SpecError(
            f"{log.name}: is the log of {what}, but {label} has only {', '.join(kinds)}",
            hint="give the spec of that run",
        )
    return found


def _lengths(spec: RunSpec, index: int, log: RunLog) -> tuple[list[str], list[str]]:
    """Changes of the spec to the log's mean lengths, and what to say of them."""
    stage = spec.stages[index]
    if not isinstance(stage, RlcefStage):
        return [], []
    changes, notes = [], []
    stated = {"response_tokens": stage.response_tokens, "prompt_tokens": stage.prompt_tokens}
    for field, tokens in (("response_tokens", log.response_tokens), ("prompt_tokens", log.prompt_tokens)):
        old = stated[field]
        if tokens is None or (old is not None and abs(old.mean - tokens) <= LENGTH_TOLERANCE * tokens):
            continue
        said = "nothing" if old is None else f"{old.mean:g}"
        if field == "response_tokens" and tokens > stage.max_response_tokens:
            notes.append(f"{field}: {tokens:,.0f} in the log is above max_response_tokens: the spec's {said} was kept")
            continue
        changes.append(f"stages.{stage.name}.{field}={tokens:.1f}")
        notes.append(f"{field}: planned with the log's mean of {tokens:,.0f}; the spec says {said}")
    return changes, notes


def _steady(values: Sequence[float]) -> float:
    return median(values[WARM_UP_STEPS:] if len(values) >= ENOUGH_STEPS else values)


def _seconds(
    log: RunLog, stage: StagePlan, spec: RunSpec, plan: Plan, notes: list[str]
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of each planned phase by step, and the log's name for each."""
    planned = {phase.name: phase.seconds for phase in stage.phases}
    found: dict[str, list[float]] = {}
    named: dict[str, str] = {}
    for covers, values in log.phases.items():
        inner = {
            name: s for name, s in planned.items() if any(name == one or name.startswith(f"{one} ") for one in covers)
        }
        total = sum(inner.values())
        if not inner or total <= 0:
            notes.append(f"{log.keys[covers]}: the plan has no {' or '.join(covers)}")
            continue
        if len(inner) > 1:
            notes.append(f"{log.keys[covers]}: holds {', '.join(inner)}; divided as planned")
        for name, part in inner.items():
            found[name] = [value * part / total for value in values]
            named[name] = log.keys[covers]
    if found:
        return found, named
    whole, key = _whole_steps(log, spec, plan, stage.name)
    total = stage.seconds_per_unit.p50
    if not whole or total <= 0:
        return {}, {}
    if len(planned) > 1:
        notes.append(f"{key}: whole steps only, so that all phases get the same factor")
    return {n: [value * s / total for value in whole] for n, s in planned.items() if s > 0}, dict.fromkeys(planned, key)


def _whole_steps(log: RunLog, spec: RunSpec, plan: Plan, name: str) -> tuple[Sequence[float], str]:
    """Seconds of whole steps of the plan's kind, and where they come from."""
    stage = next(one for one in spec.stages if one.name == name)
    if log.framework == "trl" and isinstance(stage, RlcefStage) and stage.optimizer_steps_per_step > 1:
        times = stage.optimizer_steps_per_step  # TRL logs optimizer steps, several of one generation
        return [value * times for value in log.step_seconds], f"{log.step_key} × {times} optimizer steps"
    if log.step_seconds:
        return log.step_seconds, log.step_key
    gpus = sum(pool.nodes * pool.gpus_per_node for pool in plan.pools if pool.stage == name and pool.gpu)
    batch, length = getattr(stage, "global_batch_samples", None), getattr(stage, "seq_len", None)
    if not (gpus and batch and length):
        return (), ""
    return [batch * length / (tps * gpus) for tps in log.tokens_per_second_and_gpu], "tokens per second and GPU"
