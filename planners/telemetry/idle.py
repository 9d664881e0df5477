"""Why a GPU does no work: from its utilisation, who holds it, and the phase that its run says it is in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from planners.telemetry.tables import IdleReason

BUSY_UTIL_PCT = 1
"""A GPU works when any kernel ran in NVML's last sample period, which is a sixth of a second to a second
(`nvmlUtilization_t`): in whole percent, 1.  A kernel that spins while it waits for another GPU counts as work: NVML
can't tell."""
BOOT_SECONDS = 240.0
"""A process that has said no phase yet boots for so long: what plans assume for engine start, weight load, graph
capture (`planners.physics.overhead.WARM_UP_SECONDS`)."""
START_SECONDS = BOOT_SECONDS + 180.0
"""A GPU that its node's run has not yet held boots for so long: the same, after images were pulled
(`PULL_SECONDS`)."""

ROLLOUT_ROLES = frozenset({"rollout", "teacher"})
ROLLOUT_PHASES = frozenset({"generate", *ROLLOUT_ROLES})
PHASE_WAITS = {
    **dict.fromkeys(("sandbox", "environment", "reward", "judge", "tool"), IdleReason.WAITING_SANDBOX),
    **dict.fromkeys(("weight_sync", "sync"), IdleReason.WAITING_SYNC),
    **dict.fromkeys(("boot", "load", "compile"), IdleReason.BOOTING),
    **{reason.value: reason for reason in IdleReason},
}
"""What every GPU waits for in a phase; a phase may also be the reason itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The process that holds a GPU."""

    role: str | None
    age_seconds: float
    phase: str | None
    """The last that its role said since the process began, as `phase_name` has it."""
    run_phases: Mapping[str, str]
    """The last that each role of its run said, latest first."""


def phase_name(said: str) -> str:
    """One spelling: `Weight sync`, `weight-sync` and `weight_sync` are the same phase."""
    return re.sub(r"[^a-z0-9]+", "_", said.lower()).strip("_")[:64]


def why_idle(
    gpu_util_pct: float | None, held: Held | None, *, expected_seconds: float | None = None
) -> IdleReason | None:
    """None while the GPU works, else the reason.

    gpu_util_pct: None where the driver doesn't say (MIG without GPM): then a phase that the holder does itself counts
    as work.
    expected_seconds: how long ago the node was given to a run that has not held the GPU yet; else None.
    Held by nobody: no_process, or booting while it is expected to be.  Else by the holder's phase; a role that has said
    none waits for what another role of its run does.  A role that idles in its own phase, or whose run says nothing:
    unknown.
    """
    if gpu_util_pct is not None and gpu_util_pct >= BUSY_UTIL_PCT:
        return None
    if held is None:
        boots = expected_seconds is not None and expected_seconds < START_SECONDS
        return IdleReason.BOOTING if boots else IdleReason.NO_PROCESS
    phase = held.phase or next(iter(held.run_phases.values()), None)
    if phase is None:
        return IdleReason.BOOTING if held.age_seconds < BOOT_SECONDS else IdleReason.UNKNOWN
    reason = _waits_for(phase, held.role)
    return None if reason is IdleReason.UNKNOWN and gpu_util_pct is None and held.phase is not None else reason


def _waits_for(phase: str, role: str | None) -> IdleReason:
    """What an idle GPU of `role` waits for while its run is in `phase`."""
    if phase in PHASE_WAITS:
        return PHASE_WAITS[phase]
    if phase in ROLLOUT_PHASES:
        return IdleReason.UNKNOWN if role in ROLLOUT_ROLES else IdleReason.WAITING_ROLLOUT
    return IdleReason.WAITING_SYNC if role in ROLLOUT_ROLES else IdleReason.UNKNOWN
