"""The pods of a pool as one allocation, as the API shows them: queued until all have a node, ended when any has."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clusterctl.targets.base import TAG_PREFIX
from clusterctl.targets.kubernetes_pods import PodState, pod_state, warnings
from clusterctl.targets.slurm_jobs import SlurmJob
from planners.runs.reconcile import Cause, InstancePhase

CLUSTER_LABEL = f"{TAG_PREFIX}/cluster"
"""Label of a pool's pods: the name that SkyPilot was given, without what it adds."""
TAGS_NOTE = f"{TAG_PREFIX}/tags"
"""Annotation with run, pool, start and when it is over, as JSON: labels take no such values."""
STATES = {InstancePhase.QUEUED: "PENDING", InstancePhase.ENDING: "COMPLETING", InstancePhase.ENDED: "CANCELLED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGang(SlurmJob):
    """An allocation of pods, with the interface of a scheduler's job."""

    gang_phase: InstancePhase
    gang_cause: Cause

    @property
    def phase(self) -> InstancePhase:
        """STARTING once every pod has a node: SkyPilot still has to prepare them."""
        return self.gang_phase

    @property
    def cause(self) -> Cause:
        """Why it ended."""
        return self.gang_cause

    @property
    def message(self) -> str:
        """Of the first pod that waits or has ended, in the scheduler's words."""
        return self.reason


def parse_gangs(pods: str, events: str) -> tuple[PodGang, ...]:
    """Of two answers of the API.  Raises ValueError for what is no list of objects."""
    try:
        items, said = json.loads(pods)["items"], warnings(json.loads(events)["items"])
        return gangs(items, said)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a list of pods: {error}") from error


def gangs(pods: Sequence[Mapping[str, Any]], said: Mapping[str, str]) -> tuple[PodGang, ...]:
    """The allocations that these pods make up."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for pod in pods:
        if name := pod["metadata"].get("labels", {}).get(CLUSTER_LABEL):
            by_name.setdefault(name, []).append(pod)
    return tuple(_gang(name, members, said) for name, members in sorted(by_name.items()))


def _gang(name: str, pods: Sequence[Mapping[str, Any]], said: Mapping[str, str]) -> PodGang:
    """Paid from when the first pod has a node; over when all are, or when one ended: SkyPilot runs gangs only."""
    tags = json.loads(pods[0]["metadata"].get("annotations", {}).get(TAGS_NOTE, "{}"))
    states = [pod_state(pod, said.get(pod["metadata"]["name"], "")) for pod in pods]
    if "restarts" in tags:  # of a Deployment, which replaces what has ended
        states = [s for s in states if s.phase not in {InstancePhase.ENDED, InstancePhase.ENDING}] or states
    states.sort(key=lambda state: (not state.name.endswith("-head"), len(state.name), state.name))  # by rank
    ended = [state for state in states if state.phase is InstancePhase.ENDED]
    live = [state for state in states if state.phase is not InstancePhase.ENDED]
    phase = _phase(states, int(tags.get("nodes", len(states))))
    told = next((s for s in (*ended, *live) if s.message), None)
    begun = [state.since for state in states if state.since is not None]
    over = [state.until or state.created for state in ended]
    return PodGang(
        job_id=name,
        name=name,
        state=STATES.get(phase, "RUNNING"),
        reason=f"{told.name}: {told.message}" if told is not None and len(states) > 1 else told.message if told else "",
        since=min(begun) if begun else None,
        until=max(over) if phase is InstancePhase.ENDED else None,
        nodes=tuple(state.node for state in states if state.node),
        tags={key: str(value) for key, value in tags.items()},
        gang_phase=phase,
        gang_cause=ended[0].cause if ended and phase is InstancePhase.ENDED else _stuck(states),
    )


def _phase(states: Sequence[PodState], nodes: int) -> InstancePhase:
    phases = {state.phase for state in states}
    if phases == {InstancePhase.ENDED}:
        return InstancePhase.ENDED
    if phases & {InstancePhase.ENDING, InstancePhase.ENDED}:
        return InstancePhase.ENDING
    placed = sum(state.since is not None for state in states)
    return InstancePhase.STARTING if placed >= nodes else InstancePhase.QUEUED


def _stuck(states: Sequence[PodState]) -> Cause:
    return next((state.cause for state in states if state.cause is Cause.REFUSED), Cause.NONE)
