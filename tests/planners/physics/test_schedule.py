"""How the phases of a step fall together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.physics.codes import ASYNC, COLOCATED, DISAGGREGATED
from planners.physics.step import compose_step

SECONDS = st.one_of(st.just(0.0), st.floats(1e-6, 1e5))


def step(schedule: float, rollout: float, trainer: float, sync: float) -> float:
    return float(compose_step(schedule=schedule, rollout_side=rollout, trainer_side=trainer, sync=sync))


@given(rollout=SECONDS, trainer=SECONDS, sync=SECONDS, schedule=st.sampled_from([COLOCATED, DISAGGREGATED]))
def test_phases_in_turn_and_in_lockstep_add_up(rollout: float, trainer: float, sync: float, schedule: float) -> None:
    assert step(schedule, rollout, trainer, sync) == pytest.approx(rollout + trainer + sync)


@given(rollout=SECONDS, trainer=SECONDS, sync=SECONDS)
def test_two_pools_that_may_lag_take_what_the_slower_one_needs(rollout: float, trainer: float, sync: float) -> None:
    seconds = step(ASYNC, rollout, trainer, sync)
    slower = max(rollout, trainer)
    assert slower + sync <= seconds * (1 + 1e-9)
    assert seconds <= slower * 2 ** (1 / 8) + sync + 1e-9, "equal pools lose at most 9 % to each other"
    assert seconds <= step(COLOCATED, rollout, trainer, sync) + 1e-9


@given(
    rollout=SECONDS,
    trainer=SECONDS,
    sync=SECONDS,
    more=st.floats(0, 1e4),
    schedule=st.sampled_from([COLOCATED, DISAGGREGATED, ASYNC]),
)
def test_no_phase_makes_a_step_shorter(
    rollout: float, trainer: float, sync: float, more: float, schedule: float
) -> None:
    now = step(schedule, rollout, trainer, sync)
    for longer in ((rollout + more, trainer, sync), (rollout, trainer + more, sync), (rollout, trainer, sync + more)):
        assert step(schedule, *longer) >= now - 1e-9 * (1 + now)
