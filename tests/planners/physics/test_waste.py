"""Interruptions: Daly's first order against a simulation of failures, spot against on-demand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.physics.overhead import (
    GPU_HOURS_PER_FAILURE,
    OWN_START_UP_HOURS,
    PREEMPTIONS_PER_NODE_HOUR,
    START_UP_HOURS,
    Lost,
    lost_to_interruptions,
)

HOURS = st.floats(0.01, 5000)
NODES = st.integers(1, 4096).map(float)


def lost(hours: float, nodes: float, *, spot: float = 0.0, checkpoint: float = 0.5, restart: float = 0.25) -> Lost:
    return lost_to_interruptions(
        useful_hours=hours, gpus=8 * nodes, nodes=nodes, spot=spot, checkpoint_hours=checkpoint, restart_hours=restart
    )


@given(hours=HOURS, nodes=NODES)
def test_spot_is_never_interrupted_less_than_on_demand(hours: float, nodes: float) -> None:
    kept, taken = lost(hours, nodes), lost(hours, nodes, spot=1.0)
    assert taken.interruptions > kept.interruptions > 0
    assert taken.hours > kept.hours > 0


@given(hours=HOURS, nodes=NODES, spot=st.sampled_from([0.0, 1.0]), more=st.floats(1.01, 3))
def test_longer_runs_larger_fleets_and_rarer_checkpoints_lose_more(
    hours: float, nodes: float, spot: float, more: float
) -> None:
    now = float(lost(hours, nodes, spot=spot).hours)
    assert float(lost(hours * more, nodes, spot=spot).hours) > now
    assert float(lost(hours, nodes * more, spot=spot).hours) >= now
    assert float(lost(hours, nodes, spot=spot, checkpoint=0.5 * more).hours) >= now
    assert float(lost(hours, nodes, spot=spot, restart=0.25 * more).hours) >= now
    assert now <= 9.0 * hours * (1 + 1e-9), "capped where work cannot keep up"


def test_no_machines_lose_nothing() -> None:
    none = lost(100.0, 0.0, spot=1.0)
    assert float(none.hours) == 0
    assert float(none.interruptions) == 0


def test_llama_3_lost_about_one_hour_in_ten_or_less() -> None:
    """16,384 H100 for 54 days: 419 interruptions (arXiv:2407.21783); effective training time above 90 %."""
    useful = 54 * 24 * 0.9
    run = lost(useful, 2048.0, checkpoint=0.25, restart=0.1)
    assert float(run.interruptions) == pytest.approx(419, rel=0.1)
    assert float(run.hours) < 0.12 * useful
    assert pytest.approx(GPU_HOURS_PER_FAILURE, rel=0.01) == 16_384 * 54 * 24 / 419


def test_lost_hours_are_near_a_simulation_of_preemptions() -> None:
    useful, nodes, checkpoint, restart = 60.0, 16.0, 0.5, 0.25
    rng = np.random.default_rng(1)
    rate = nodes * PREEMPTIONS_PER_NODE_HOUR + 8 * nodes / GPU_HOURS_PER_FAILURE
    walls, counts = [], []
    for _ in range(400):
        clock, done, saved, hits = 0.0, 0.0, 0.0, 0
        while done < useful:
            work = min(rng.exponential(1.0 / rate), useful - done)
            clock += work
            done += work
            if done < useful:
                saved = done - done % checkpoint
                clock += restart
                done, hits = saved, hits + 1
        walls.append(clock)
        counts.append(hits)
    formula = lost(useful, nodes, spot=1.0, checkpoint=checkpoint, restart=restart)
    assert float(formula.hours) == pytest.approx(np.mean(walls) - useful, rel=0.15)
    assert float(formula.interruptions) == pytest.approx(np.mean(counts), rel=0.15), "restarts count as exposed"


def test_own_machines_need_no_boot() -> None:
    assert START_UP_HOURS > OWN_START_UP_HOURS > 0
    assert pytest.approx(0.2) == START_UP_HOURS
