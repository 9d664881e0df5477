"""Hours that are paid for and make no progress: start-up, failures, preemptions, evaluation and checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planners.physics.columns import Column
from planners.physics.constants import Constants

GPU_HOURS_PER_FAILURE = 50_700.0
"""Mean between unexpected interruptions: 419 in 54 days on 16,384 H100 (Llama 3, arXiv:2407.21783, section 3.3.4)."""

PREEMPTIONS_PER_NODE_HOUR = 0.02
"""Assumption for spot GPU nodes, stated in every spot plan; clouds publish no rate (AWS: monthly brackets)."""

BOOT_SECONDS, PULL_SECONDS = 300.0, 180.0
WARM_UP_SECONDS = 240.0
"""Engine start, weight load, graph capture, compile.  All three: assumptions of ours, replaced by measured ones."""
START_UP_HOURS = (BOOT_SECONDS + PULL_SECONDS + WARM_UP_SECONDS) / 3600.0
"""From the request for machines in a cloud to the first useful step."""
OWN_START_UP_HOURS = (PULL_SECONDS + WARM_UP_SECONDS) / 3600.0
"""The same on machines that exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """Hours lost to interruptions, and how many are expected."""

    hours: NDArray[np.float64]
    interruptions: NDArray[np.float64]


def lost_to_interruptions(
    *, useful_hours: Column, gpus: Column, nodes: Column, spot: Column, checkpoint_hours: Column, restart_hours: Column
) -> Lost:
    """Expected hours lost: each interruption costs a restart and half a checkpoint interval of work.

    rate per hour = gpus / GPU_HOURS_PER_FAILURE + spot · nodes · PREEMPTIONS_PER_NODE_HOUR; a rate so high that work
    cannot keep up is capped at nine hours lost for each useful one.  `spot`: 1 or 0.  Source of the form: Daly 2006,
    first order.
    """
    useful = np.asarray(useful_hours, dtype=np.float64)
    rate = np.asarray(gpus) / GPU_HOURS_PER_FAILURE + np.asarray(spot) * nodes * PREEMPTIONS_PER_NODE_HOUR
    share = np.minimum(rate * (np.asarray(restart_hours) + np.asarray(checkpoint_hours) / 2.0), 0.9)
    wall = useful / (1.0 - share)
    return Lost(hours=wall - useful, interruptions=wall * rate)


def run_waste(c: Constants, gpu_hours: Column) -> Column:
    """Factor from productive to whole-run GPU-hours: restarts, evaluation, checkpoints.

    (1 + fixed) (1 + per decade x log10(1 + hours/100)); from the few runs that publish both, so a wide band.
    """
    return (1 + c.waste_fixed) * (1 + c.waste_per_decade * np.log10(1 + gpu_hours / 100))
