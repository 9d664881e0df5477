"""The pods of a pool as one allocation, as the API shows them: queued until all have a node, ended when any has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clusterctl.targets.base import TAG_PREFIX
from clusterctl.targets.kubernetes_pods import PodState, kueue_reasons, pod_state, warnings
from clusterctl.targets.slurm_jobs import SlurmJob
from planners.runs.reconcile import Cause, InstancePhase

CLUSTER_LABEL = f"{TAG_PREFIX}/cluster"
"""Label of a pool's pods: the name that SkyPilot was given, without what it adds."""
TAGS_NOTE = f"{TAG_PREFIX}/tags"
"""Annotation with run, pool, start and when it is over, as JSON: labels take no such values."""
STATES = {InstancePhase.QUEUED: "PENDING", InstancePhase.ENDING: "COMPLETING", InstancePhase.ENDED: "CANCELLED"}


Span = tuple[datetime | None, datetime | None]
"""When a pod was given a node, and when it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGang(SlurmJob):
    """An allocation of pods, with the interface of a scheduler's job."""

    gang_phase: InstancePhase
    gang_cause: Cause
    """Of the first pod that has ended, or can't start."""
    spans: tuple[Span, ...]
    """By rank."""
    delete_by: datetime | None
    """When the last of the pods that are told to end will be gone."""
    missing: int
    """Pods that the API does not show."""
    may_return: bool
    """Whether a node that does not answer has one of its pods."""
    version: str = ""
    """Of the listing that showed it: the API can say what has been deleted since."""

    @property
    def phase(self) -> InstancePhase:
        """STARTING once every pod has a node: SkyPilot still has to prepare them."""
        return self.gang_phase

    @property
    def cause(self) -> Cause:
        """Why it ended."""
        return Cause.NONE if self.gang_phase is InstancePhase.ENDING else self.gang_cause

    @property
    def message(self) -> str:
        """Of the first pod that waits or has ended, in the scheduler's words."""
        return self.reason

    @property
    def restarts(self) -> bool:
        """Whether a Deployment replaces what has ended."""
        return "restarts" in self.tags

    @property
    def is_broken(self) -> bool:
        """Whether a part of it has gone, so that the rest is of no use."""
        half = self.gang_phase is InstancePhase.ENDING and self.gang_cause not in {Cause.NONE, Cause.STOPPED}
        return self.may_return or half

    def span(self, index: int) -> Span:
        """A node is paid while its own pod has it: the scheduler may place a gang in parts."""
        since, until = self.spans[index] if index < len(self.spans) else (None, None)
        return since, until if self.ended else None


def parse_gangs(pods: str, events: str, workloads: str = "") -> tuple[PodGang, ...]:
    """Of answers of the API.  workloads: Kueue's, where it holds pods back.  Raises ValueError for what is no list."""
    try:
        listing, said = json.loads(pods), warnings(json.loads(events)["items"])
        said |= kueue_reasons(listing["items"], json.loads(workloads)["items"] if workloads.strip() else ())
        return gangs(listing["items"], said, str(listing.get("metadata", {}).get("resourceVersion", "")))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a list of pods: {error}") from error


def gangs(pods: Sequence[Mapping[str, Any]], said: Mapping[str, str], version: str = "") -> tuple[PodGang, ...]:
    """The allocations that these pods make up.  said: the last word about each; version: of their listing."""
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for pod in pods:
        if name := pod["metadata"].get("labels", {}).get(CLUSTER_LABEL):
            by_name.setdefault(name, []).append(pod)
    return tuple(_gang(name, members, said, version) for name, members in sorted(by_name.items()))


def nodes_of(pod: Mapping[str, Any]) -> int:
    """Of its allocation, as it says itself."""
    return max(int(_tags(pod).get("nodes", 1)), 1)


def _tags(pod: Mapping[str, Any]) -> dict[str, Any]:
    tags: dict[str, Any] = json.loads(pod["metadata"].get("annotations", {}).get(TAGS_NOTE, "{}"))
    return tags


def _gang(name: str, pods: Sequence[Mapping[str, Any]], said: Mapping[str, str], version: str) -> PodGang:
    """Paid from when the first pod has a node; over when all are, or when one ended: SkyPilot runs gangs only."""
    tags = _tags(pods[0])
    states = [pod_state(pod, said.get(pod["metadata"]["name"], "")) for pod in pods]
    nodes = int(tags.get("nodes", len(states)))
    if "restarts" in tags:  # of a Deployment, which replaces what has ended
        states = [s for s in states if s.phase not in {InstancePhase.ENDED, InstancePhase.ENDING}] or states
    states.sort(key=lambda state: (_rank(state.name) or 0, state.created, state.name))
    by_rank = {place if (rank := _rank(state.name)) is None else rank: state for place, state in enumerate(states)}
    spans = [_span(by_rank.get(rank)) for rank in range(nodes)]
    ended = [state for state in states if state.phase is InstancePhase.ENDED]
    live = [state for state in states if state.phase is not InstancePhase.ENDED]
    phase = _phase(states, nodes)
    told = next((s for s in (*ended, *live) if s.message), None)
    begun = [since for since, _ in spans if since is not None]
    over = [state.until or state.created for state in ended]
    return PodGang(
        job_id=name,
        name=name,
        state=STATES.get(phase, "RUNNING"),
        reason=f"{told.name}: {told.message}" if told is not None and len(states) > 1 else told.message if told else "",
        since=min(begun) if begun else None,
        until=max(over) if phase is InstancePhase.ENDED else None,
        nodes=tuple(by_rank[rank].node if rank in by_rank else "" for rank in range(nodes)),
        tags={key: str(value) for key, value in tags.items()},
        gang_phase=phase,
        gang_cause=_cause(states),
        spans=tuple(spans),
        delete_by=max((state.delete_by for state in states if state.delete_by is not None), default=None),
        missing=max(nodes - len(states), 0),
        may_return=any(state.cause is Cause.NODE_LOST and state.node for state in states),
        version=version,
    )


def _phase(states: Sequence[PodState], nodes: int) -> InstancePhase:
    phases = {state.phase for state in states}
    if phases == {InstancePhase.ENDED}:
        return InstancePhase.ENDED
    if phases & {InstancePhase.ENDING, InstancePhase.ENDED}:
        return InstancePhase.ENDING
    placed = sum(state.since is not None for state in states)
    return InstancePhase.STARTING if placed >= nodes else InstancePhase.QUEUED


def _cause(states: Sequence[PodState]) -> Cause:
    """Of the first pod that has ended, else of one that is told to end or can't start."""
    ended = sorted((s for s in states if s.phase is InstancePhase.ENDED), key=lambda s: s.until or s.created)
    told = [s.cause for s in states if s.cause is Cause.REFUSED or s.phase is InstancePhase.ENDING]
    return next(
        (cause for cause in (*(s.cause for s in ended), *told) if ended or cause is not Cause.STOPPED), Cause.NONE
    )


def _rank(pod: str) -> int | None:
    """As SkyPilot names its pods; None for a pod of a Deployment."""
    found = re.search(r"-(?:head|worker(\d+))$", pod)
    return None if found is None else int(found[1] or 0)


def _span(state: PodState | None) -> Span:
    if state is None:
        return None, None
    return state.since, (state.until or state.since) if state.phase is InstancePhase.ENDED else None
