"""Why a GPU idles: every rule, as a table."""

from __future__ import annotations

import pytest

from planners.telemetry.idle import BOOT_SECONDS, START_SECONDS, Held, phase_name, why_idle
from planners.telemetry.tables import Idle


def held(role: str | None = "trainer", phase: str | None = None, age: float = 1e6, **run_phases: str) -> Held:
    return Held(role=role, age_seconds=age, phase=phase, run_phases=run_phases)


@pytest.mark.parametrize(
    ("util", "holder", "reason"),
    [
        (1, None, None),
        (1, held(phase="sandbox"), None),
        (0, None, Idle.NO_PROCESS),
        (None, None, Idle.NO_PROCESS),
        (0, held(phase="sandbox"), Idle.WAITING_SANDBOX),
        (0, held("rollout", "environment"), Idle.WAITING_SANDBOX),
        (0, held(phase="generate"), Idle.WAITING_ROLLOUT),
        (0, held("rollout", "generate"), Idle.UNKNOWN),
        (0, held("rollout", "weight_sync"), Idle.WAITING_SYNC),
        (0, held(phase="train"), Idle.UNKNOWN),
        (0, held("rollout", trainer="train"), Idle.WAITING_SYNC),
        (0, held("rollout", trainer="sandbox"), Idle.WAITING_SANDBOX),
        (0, held("teacher", "load"), Idle.BOOTING),
        (0, held("reward", rollout="generate", trainer="train"), Idle.WAITING_ROLLOUT),
        (0, held(phase="waiting_sync"), Idle.WAITING_SYNC),
        (0, held(age=BOOT_SECONDS - 1), Idle.BOOTING),
        (0, held(age=BOOT_SECONDS + 1), Idle.UNKNOWN),
        (None, held(phase="train"), None),
        (None, held(phase="sandbox"), Idle.WAITING_SANDBOX),
        (None, held(), Idle.UNKNOWN),
    ],
)
def test_the_reason(util: float | None, holder: Held | None, reason: Idle | None) -> None:
    assert why_idle(util, holder) == reason


def test_a_gpu_that_its_run_has_not_yet_held_boots_for_a_while() -> None:
    assert why_idle(0, None, expected_seconds=0.0) is Idle.BOOTING
    assert why_idle(0, None, expected_seconds=START_SECONDS + 1) is Idle.NO_PROCESS


@pytest.mark.parametrize("said", ["weight sync", "Weight-Sync", "weight_sync", "  weight  sync!"])
def test_a_phase_has_one_spelling(said: str) -> None:
    assert phase_name(said) == "weight_sync"
