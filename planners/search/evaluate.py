"""A few fleets, looked at closely: one stage on m fleets, with the sandboxes that their whole nodes really hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.domain import GpuSpec
from planners.physics.codes import SHARDING_NAMES
from planners.physics.columns import Array, Column
from planners.physics.constants import Constants
from planners.physics.overhead import run_waste
from planners.search.machines import MachineKind, timing_context
from planners.search.pricing import interrupted
from planners.units import SECONDS_PER_HOUR
from planners.workload.layouts import Layouts, TimingContext
from planners.workload.sandbox_work import exposed_seconds
from planners.workload.stage_work import StageWork
from planners.workload.timing import Timing, time_work


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortlist:
    """One stage on m fleets.  Arrays of shape (m,)."""

    work: StageWork
    machines: Sequence[MachineKind]
    layouts: Layouts
    slots: Array
    """Sandboxes that the sandbox nodes hold; 0 where the stage needs none."""
    spot: Array
    start_up_hours: Array
    year: float

    def timing_context(self, constants: Constants, *, grid_points: int = 33) -> TimingContext:
        """The physics' surroundings."""
        at = timing_context(self.machines, self.layouts, constants, year=self.year, grid_points=grid_points)
        held = self.work.sandbox_work is not None and self.work.sandbox_work.stateful
        return dataclasses.replace(at, slots=self.usable_slots) if held else at

    @property
    def usable_slots(self) -> Array:
        """Sandboxes that run at once: those that the nodes hold, as far as the stage lets them."""
        wanted = self.work.sandbox_work
        return self.slots if wanted is None else np.minimum(self.slots, wanted.most_at_once)

    def gpu(self, row: int) -> GpuSpec | None:
        """The GPU of the fleet with this number; None without GPUs."""
        machine = int(self.layouts.machine[row])
        return self.machines[machine].gpu if machine >= 0 else None

    def gpu_name(self, row: int) -> str:
        """Its canonical name; empty without GPUs."""
        gpu = self.gpu(row)
        return gpu.name if gpu else ""

    def sharding(self, row: int) -> str:
        """Sharding class of the trainer on the fleet with this number."""
        return SHARDING_NAMES[int(self.layouts.sharding[row])]

    def take(self, rows: NDArray[np.int64]) -> Shortlist:
        """The fleets with these numbers; a number may be there twice."""
        return dataclasses.replace(
            self,
            layouts=self.layouts.take(rows),
            slots=self.slots[rows],
            spot=self.spot[rows],
            start_up_hours=self.start_up_hours[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEstimate:
    """What a stage takes.  Columns of shape (m,), or (k, m) with k draws of the constants."""

    timing: Timing
    exposed: Array
    """Seconds per unit that nothing hides the sandboxes."""
    unit_seconds: Array
    work_hours: Array
    """Units alone."""
    pause_hours: Array
    """Evaluations inside the stage."""
    overhead_hours: Array
    """Restarts, stragglers and slack of real runs (`run_waste`)."""
    lost_hours: Array
    """Preemptions."""
    interruptions: Array
    hours: Array
    """From the request for machines to the end."""


def estimate_stage(picks: Shortlist, constants: Constants, *, grid_points: int = 33) -> StageEstimate:
    """Hours of the stage on every fleet of `picks`."""
    work = picks.work
    at = picks.timing_context(constants, grid_points=grid_points)
    timing = time_work(work, at)
    exposed = exposed_seconds(work, timing, picks.usable_slots)
    unit = timing.unit_seconds(exposed)
    productive = unit * work.units / SECONDS_PER_HOUR
    gpus = picks.layouts.gpus
    pauses = _pause_hours(work, at)
    overhead = (productive + pauses) * (run_waste(constants, productive * gpus) - 1.0)
    useful = productive + pauses + overhead
    lost = interrupted(useful, gpus=gpus, nodes=picks.layouts.nodes, spot=picks.spot)
    return StageEstimate(
        timing=timing,
        exposed=exposed,
        unit_seconds=unit,
        work_hours=productive,
        pause_hours=np.asarray(pauses),
        overhead_hours=overhead,
        lost_hours=lost.hours,
        interruptions=lost.interruptions,
        hours=useful + lost.hours + picks.start_up_hours,
    )


def _pause_hours(work: StageWork, at: TimingContext) -> Column:
    """Hours of evaluations inside the stage: the trainer waits for each."""
    if work.evaluation is None:
        return 0.0
    alone = dataclasses.replace(work, generations=(work.evaluation,), training=None, sandbox_work=None, apis=())
    seconds = time_work(alone, at).unit_seconds(0.0)
    return seconds * (work.units // work.evaluate_every) / SECONDS_PER_HOUR
