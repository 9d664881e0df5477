"""Why a GPU idles: every rule, as a table."""

from __future__ import annotations

import pytest

from planners.telemetry.idle import BOOT_SECONDS, START_SECONDS, Held, phase_name, why_idle
from planners.telemetry.tables import IdleReason


def held(role: str | None = "trainer", phase: str | None = None, age: float = 1e6, **run_phases: str) -> Held:
    return Held(role=role, age_seconds=age, phase=phase, run_phases=run_phases)


@pytest.mark.parametrize(
    ("util", "holder", "reason"),
    [
        (1, None, None),
        (1, held(phase="sandbox"), None),
        (0, None, IdleReason.NO_PROCESS),
        (None, None, IdleReason.NO_PROCESS),
        (0, held(phase="sandbox"), IdleReason.WAITING_SANDBOX),
        (0, held("rollout", "environment"), IdleReason.WAITING_SANDBOX),
        (0, held(phase="generate"), IdleReason.WAITING_ROLLOUT),
        (0, held("rollout", "generate"), IdleReason.UNKNOWN),
        (0, held("rollout", "weight_sync"), IdleReason.WAITING_SYNC),
        (0, held(phase="train"), IdleReason.UNKNOWN),
        (0, held("rollout", trainer="train"), IdleReason.WAITING_SYNC),
        (0, held("rollout", trainer="sandbox"), IdleReason.WAITING_SANDBOX),
        (0, held("teacher", "load"), IdleReason.BOOTING),
        (0, held("reward", rollout="generate", trainer="train"), IdleReason.WAITING_ROLLOUT),
        (0, held(phase="waiting_sync"), IdleReason.WAITING_SYNC),
        (0, held(age=BOOT_SECONDS - 1), IdleReason.BOOTING),
        (0, held(age=BOOT_SECONDS + 1), IdleReason.UNKNOWN),
        (None, held(phase="train"), None),
        (None, held(phase="sandbox"), IdleReason.WAITING_SANDBOX),
        (None, held(), IdleReason.UNKNOWN),
    ],
)
def test_the_reason(util: float | None, holder: Held | None, reason: IdleReason | None) -> None:
    assert why_idle(util, holder) == reason


def test_a_gpu_that_its_run_has_not_yet_held_boots_for_a_while() -> None:
    assert why_idle(0, None, expected_seconds=0.0) is IdleReason.BOOTING
    assert why_idle(0, None, expected_seconds=START_SECONDS + 1) is IdleReason.NO_PROCESS


@pytest.mark.parametrize("said", ["weight sync", "Weight-Sync", "weight_sync", "  weight  sync!"])
def test_a_phase_has_one_spelling(said: str) -> None:
    assert phase_name(said) == "weight_sync"
