"""Nodes as a run is billed for them: paid as the cloud says, ready as Kubernetes says, refused in the cloud's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from clusterctl.targets.base import Machine, MachineRequest
from clusterctl.targets.cloud_nodes import HeldNode, NodeBook
from planners.runs.reconcile import Cause, InstancePhase

ENDED, ENDING = InstancePhase.ENDED, InstancePhase.ENDING
STARTING, QUEUED = InstancePhase.STARTING, InstancePhase.QUEUED


@dataclass(slots=True, kw_only=True)
class CloudMachines:
    """The nodes of one run.  A pool is had as a whole or given back as a whole: its ranks run together."""

    book: NodeBook
    requests: dict[str, MachineRequest] = field(default_factory=dict)
    """All that were asked for."""
    wanted: frozenset[str] = frozenset()
    """Those that are asked for now."""
    refused: dict[str, str] = field(default_factory=dict)
    """By id of a node that is given back because its pool can't be had: why."""

    def want(self, machines: Sequence[MachineRequest]) -> None:
        """These nodes and no others."""
        self.requests |= {request.resource_id: request for request in machines}
        self.wanted = frozenset(request.resource_id for request in machines)
        self.refused = {name: why for name, why in self.refused.items() if name in self.wanted}

    def size(self, requests: Sequence[MachineRequest], *, make: bool) -> int:
        """How many nodes a pool of the cluster should have for these."""
        names = [request.resource_id for request in requests if request.resource_id not in self.refused]
        return len(names) if make else len(self.book.live(names))

    def refuse(self, requests: Sequence[MachineRequest], why: str) -> None:
        """What the cloud says against a pool: where a node is lacking, all of them are given back."""
        names = [request.resource_id for request in requests if request.resource_id in self.wanted]
        if why and any(name not in self.book.held for name in names):
            self.refused |= dict.fromkeys(names, why)

    def break_gangs(self, pods: Mapping[str, Machine], now: datetime) -> None:
        """Where a node of a pool has gone, or its pods have ended, all nodes of it end: those that follow take over."""
        pools: dict[str, list[str]] = {}
        for name in self.wanted - self.refused.keys():
            pools.setdefault(self.requests[name].pool.id, []).append(name)
        for names in pools.values():
            lost = [name for name in names if (node := self.book.held.get(name)) is not None and node.until is not None]
            over = [name for name in names if name in pods and pods[name].phase is ENDED]
            failed = [pods[name].message for name in over if pods[name].cause is Cause.NO_CAPACITY]
            if failed:  # SkyPilot could not prepare them
                self.refused |= dict.fromkeys(names, failed[0])
            elif lost or over:
                self.book.give_up(names, now)

    def shown(self, pods: Mapping[str, Machine], missing: Mapping[str, str]) -> Iterator[Machine]:
        """What a look at cloud and cluster shows.  missing: by pool of the plan, why its nodes are not there yet."""
        for name in dict.fromkeys((*self.requests, *self.book.held)):
            node = self.book.held.get(name)
            if name in self.refused:
                yield self._refused(name, node)
            elif node is None:
                yield self._waiting(name, pods.get(name), missing)
            else:
                yield self._held(name, node, pods.get(name))

    def _refused(self, name: str, node: HeldNode | None) -> Machine:
        """Paid until the cloud has ended it; of no use, and reported as such once nothing of its pool is paid."""
        why, pool = self.refused[name], self.requests[name].pool.id
        mates = [other for other in self.refused if self.requests[other].pool.id == pool]
        if self.book.live(mates):
            return _machine(name, node, QUEUED if node is None else ENDING, message=why)
        return _machine(name, node, ENDED, cause=Cause.NO_CAPACITY, message=why)

    def _waiting(self, name: str, pod: Machine | None, missing: Mapping[str, str]) -> Machine:
        if name not in self.wanted:
            return _machine(name, None, ENDED, cause=Cause.STOPPED)
        if pod is not None and pod.phase is ENDED:
            return pod
        return _machine(name, None, QUEUED, message=missing.get(self.requests[name].pool.id, ""))

    def _held(self, name: str, node: HeldNode, pod: Machine | None) -> Machine:
        if node.until is not None:
            if name not in self.wanted:
                return _machine(name, node, ENDED, cause=Cause.STOPPED, message=node.message)
            cause, why = Cause.PREEMPTED if node.spot else Cause.NODE_LOST, node.message
            if node.given_up:
                cause, why = Cause.NODE_LOST, "another node of its pool was lost, or its pods"
            if pod is not None and pod.cause is Cause.LAUNCHER:
                cause, why = pod.cause, pod.message
            return _machine(name, node, ENDED, cause=cause, message=why)
        if name not in self.wanted:
            return _machine(name, node, ENDING)
        if pod is None or pod.phase is QUEUED:
            return _machine(name, node, STARTING, message=pod.message if pod else "it has not joined the cluster yet")
        return _machine(name, node, pod.phase, message=pod.message)


def _machine(
    name: str, node: HeldNode | None, phase: InstancePhase, *, cause: Cause = Cause.NONE, message: str = ""
) -> Machine:
    return Machine(
        resource_id=name,
        phase=phase,
        cause=cause,
        since=node.since if node is not None else None,
        until=node.until if node is not None and phase is ENDED else None,
        address=node.instance if node is not None else "",
        message=message,
    )


def by_id(machines: Iterable[Machine]) -> dict[str, Machine]:
    """By the id under which each is billed; of one that several allocations have had, the one that lives."""
    found: dict[str, Machine] = {}
    for machine in machines:
        if machine.resource_id not in found or machine.phase is not ENDED:
            found[machine.resource_id] = machine
    return found
