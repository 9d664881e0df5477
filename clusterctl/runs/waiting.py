"""What a run waits for, and why: machines that are not there yet, a supervisor that is queued, a place out of reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from clusterctl.ledger.rows import RunState
from clusterctl.targets.base import Observed
from clusterctl.targets.wishes import last_beat
from clusterctl.ui.formats import elapsed, when
from planners.runs.reconcile import Instance, InstancePhase

if TYPE_CHECKING:
    from clusterctl.runs.run import OpenRun

QUEUED, WAITING = "queued", "waiting"
"""Kinds of events: a machine waits in a scheduler's queue; it, or a cluster, is being made."""
WAITS = {InstancePhase.QUEUED: QUEUED, InstancePhase.STARTING: WAITING}
STALE_SECONDS = 60.0
"""What a supervisor elsewhere writes comes each second; older than that something keeps it."""


def stage_of(present: Sequence[Instance], observed: Observed) -> RunState | None:
    """How far a run is that is to go on; None where nothing of it is there yet."""
    if any(instance.phase in {InstancePhase.STARTING, InstancePhase.READY} for instance in present):
        return "running"
    if InstancePhase.QUEUED in {*(i.phase for i in present), *(m.phase for m in observed.machines)}:
        return "queued"
    return "provisioning" if any(machine.phase is InstancePhase.STARTING for machine in observed.machines) else None


def waiting_machines(observed: Observed) -> Iterator[tuple[str, str, str]]:
    """Why each machine that is not there yet is not: kind of event, text, and what tells this reason from others."""
    for machine in observed.machines:
        if machine.message and (kind := WAITS.get(machine.phase)):
            text = f"{machine.resource_id.split('/')[1]} is {machine.phase}: {machine.message}"
            yield kind, text, f"waiting:{machine.resource_id}:{machine.message}"


def supervisor_waits(run: OpenRun) -> str:
    """Why nothing is heard of a run that is watched elsewhere; empty where it is, or is watched here."""
    looked = run.target.home.looked(run.run_id)
    if looked is None:
        return ""
    if looked.unreachable_since is not None:
        return f"out of reach: {looked.why}; the run goes on, and so does this command"
    return f"its supervisor waits: {looked.supervisor}" if looked.supervisor else ""


def problems_elsewhere(run: OpenRun, *, desired: str) -> Iterator[tuple[str, str]]:
    """How old is what is shown of a run that is watched elsewhere, and what it waits for; each with a fix."""
    looked = run.target.home.looked(run.run_id)
    if looked is None:
        return
    now = datetime.now(tz=UTC)
    age = "nothing of it has been read"
    if looked.at is not None:
        age = f"this is {elapsed((now - looked.at).total_seconds())} old"
    if looked.unreachable_since is not None:
        since = when(looked.unreachable_since, now)
        yield f"out of reach since {since}: {looked.why}; {age}; it goes on, and ends at its limits", ""
    elif looked.why:
        yield f"{looked.why}; {age}", f"clusterctl up {run.run_id}"
    home, beat = run.target.home, last_beat(run.ledger.get_run(run.run_id))
    noted = home.noted_seconds(run.run_id)
    if beat is not None and noted is not None and noted < STALE_SECONDS < (old := home.beat_seconds(beat)):
        yield (
            f"its supervisor lives, and has not written its ledger for {elapsed(old)}: make room on the disk there",
            "",
        )
    if looked.supervisor:
        yield f"its supervisor waits: {looked.supervisor}", ""
    elif not looked.heeded:
        yield f"its supervisor has not acknowledged yet that it is to be {desired}", ""
