"""What a published run does outside the model, as a stage of a spec states it: turns, tool calls, judging."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

from planners.spec.distributions import Durations
from planners.spec.spec_model import SpecModel
from planners.spec.stage_options import SandboxSpec
from planners.validation.case import Case, Sandbox
from planners.workload.layouts import TimingContext
from planners.workload.sandbox_work import SLOTS_PER_NODE, exposed_seconds
from planners.workload.stage_work import StageWork
from planners.workload.timing import time_work

Part = TypeVar("Part", bound=SpecModel)


def unchecked(part: type[Part], **fields: Any) -> Part:
    """A part of a spec with the case's figures as they are: published degrees may be fractions.  None = default."""
    return cast("Part", part.model_construct(**{name: value for name, value in fields.items() if value is not None}))


def turns_of(case: Case) -> float:
    """Turns of a trajectory; 1 where nothing is said."""
    return max(case.rollout.turns or 1.0, 1.0)


def tool_seconds(case: Case) -> Durations | None:
    """One tool call between two turns, of the seconds that a rollout is in its sandbox."""
    seconds, between = case.sandbox_seconds, turns_of(case) - 1.0
    return Durations.model_construct(mean=seconds / between) if seconds is not None and between > 0 else None


def sandbox_spec(case: Case) -> SandboxSpec | None:
    """Judging after the last token: runs of these seconds, a number of them at once.  One at once is serial code."""
    sandbox = case.sandbox or Sandbox()
    seconds = case.sandbox_seconds
    if seconds is None or turns_of(case) > 1:
        return None
    return unchecked(
        SandboxSpec,
        seconds=Durations.model_construct(mean=seconds),
        time_limit_seconds=sandbox.timeout_seconds,
        concurrency=sandbox.parallel,
        serial=sandbox.parallel == 1,
    )


def environment_seconds(case: Case, work: StageWork, at: TimingContext) -> float:
    """Seconds per step in which nothing hides the sandboxes, as in a plan; none where their seconds are not told.

    All rollouts at once where no number of slots is told.
    """
    told, wanted = case.sandbox, work.sandbox_work
    if told is None or wanted is None or sandbox_spec(case) is None:
        return 0.0
    wanted = replace(wanted, calls=wanted.calls * (told.rollouts or wanted.trajectories) / wanted.trajectories)
    slots = np.array([min(wanted.most_at_once, wanted.calls)])
    if told.create_per_second is not None:
        per_node = told.create_per_second / max(float(slots[0]) / SLOTS_PER_NODE, 1.0)
        wanted = replace(wanted, stateful=True, starts_per_second_per_node=per_node)
    judged = replace(work, sandbox_work=wanted)
    return float(exposed_seconds(judged, time_work(judged, at), slots)[0])
