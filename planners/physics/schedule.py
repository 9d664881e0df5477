"""How the phases of an RL step fall together: in turn on the same GPUs, or side by side on two pools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planners.physics.columns import smooth_max
from planners.physics.workload import COLOCATED

if TYPE_CHECKING:
    from planners.physics.columns import Array, Column


def compose_step(*, schedule: Column, rollout_side: Column, trainer_side: Column, sync: Column) -> Array:
    """Seconds of a step.  Colocated: rollout + trainer + sync.  Two pools: smooth_max(rollout, trainer; 8) + sync.

    rollout_side: generation as the schedule exposes it, judging, environment; trainer_side: log-probs and training.
    """
    split = smooth_max(rollout_side, trainer_side, 8.0)
    return np.asarray(np.where(np.equal(schedule, COLOCATED), rollout_side + trainer_side, split) + sync)
