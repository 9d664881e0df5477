"""Pods and events as phase, cause and the scheduler's own words.  Pure: objects in, values out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from planners.runs.reconcile import Cause, InstancePhase

KUEUE_QUEUE, KUEUE_GROUP = "kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/pod-group-name"
"""Labels by which Kueue holds pods back until its quota has room for the whole group, whose Workload has its name."""
STUCK = {
    "ErrImagePull": Cause.REFUSED,
    "ImagePullBackOff": Cause.REFUSED,
    "InvalidImageName": Cause.REFUSED,
    "ErrImageNeverPull": Cause.REFUSED,
    "CreateContainerConfigError": Cause.REFUSED,
    "CreateContainerError": Cause.REFUSED,
    "RunContainerError": Cause.REFUSED,
    "CrashLoopBackOff": Cause.FAILED,
}
"""Why a container waits that will not start by waiting."""
MOMENTARY = re.compile(
    r"time(d )?out|deadline exceeded|connection reset|unexpected EOF|too ?many ?requests|\b(429|50[0-4])\b",
    re.IGNORECASE,
)
"""In what is said of an image that a registry may give the next time."""
ENDS = {
    "PreemptionByScheduler": Cause.PREEMPTED,
    "EvictionByEvictionAPI": Cause.PREEMPTED,
    "TerminationByKubelet": Cause.PREEMPTED,
    "Evicted": Cause.PREEMPTED,
    "Preempting": Cause.PREEMPTED,
    "DeletionByTaintManager": Cause.NODE_LOST,
    "DeletionByPodGC": Cause.NODE_LOST,
    "NodeLost": Cause.NODE_LOST,
    "NodeShutdown": Cause.NODE_LOST,
    "Shutdown": Cause.NODE_LOST,
    "Terminated": Cause.NODE_LOST,
    "DeadlineExceeded": Cause.STOPPED,
    "OutOfcpu": Cause.NO_CAPACITY,
    "OutOfmemory": Cause.NO_CAPACITY,
    "OutOfpods": Cause.NO_CAPACITY,
    "OutOfnvidia.com/gpu": Cause.NO_CAPACITY,
    "UnexpectedAdmissionError": Cause.NO_CAPACITY,
    "NodeAffinity": Cause.NO_CAPACITY,
}
"""Reason of a pod's end, or of its condition DisruptionTarget -> what it means for a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodState:
    """A pod as a run sees it."""

    name: str
    node: str
    address: str
    """IP address; empty until it has one."""
    labels: Mapping[str, str]
    phase: InstancePhase
    cause: Cause
    message: str
    """Why it waits or has ended, in the words of scheduler and kubelet."""
    since: datetime | None
    """When the scheduler gave it a node: from then on it holds what it asked for."""
    until: datetime | None
    """When its last container ended; of one whose node is lost, when that was last heard of."""
    delete_by: datetime | None
    """When it will be gone, as it is told to end."""
    exit_code: int | None
    created: datetime


def pod_state(pod: Mapping[str, Any], event: str = "") -> PodState:
    """event: the last warning about it, or what holds it back."""
    meta, spec, status = pod["metadata"], pod["spec"], pod.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", ())}
    containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    ended = [c["state"]["terminated"] for c in containers if "terminated" in c.get("state", {})]
    waiting = [c["state"]["waiting"] for c in containers if "waiting" in c.get("state", {})]
    scheduled = conditions.get("PodScheduled", {})
    since = _moment(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None
    codes = [one.get("exitCode") for one in ended]
    phase, cause, message = _judge(pod, conditions, waiting, ended)
    if spec.get("schedulingGates") and event:
        message, event = f"{message}: {event}", ""
    until, deleted = None, _moment(meta.get("deletionTimestamp"))
    if phase is InstancePhase.ENDED:
        until = max(
            (at for one in ended if (at := _moment(one.get("finishedAt")))),
            default=_moment(conditions.get("Ready", {}).get("lastTransitionTime")) or deleted,
        )
    return PodState(
        name=meta["name"],
        node=spec.get("nodeName", ""),
        address=status.get("podIP", ""),
        labels=meta.get("labels", {}),
        phase=phase,
        cause=cause,
        message=message or (event if phase in {InstancePhase.QUEUED, InstancePhase.STARTING} else ""),
        since=since,
        until=until,
        delete_by=deleted,
        exit_code=next((code for code in codes if code), codes[0] if codes else None),
        created=_moment(meta["creationTimestamp"]) or datetime.min,
    )


def kueue_reasons(pods: Iterable[Mapping[str, Any]], workloads: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Pod name -> why Kueue holds its group back, in Kueue's words; without those that it has let go."""
    by_group: dict[str, str] = {}
    for workload in workloads:
        conditions = {c["type"]: c for c in workload.get("status", {}).get("conditions", ())}
        held = (conditions.get(kind, {}) for kind in ("QuotaReserved", "Admitted"))
        said = next((plain(c.get("message", "")) for c in held if c.get("status") == "False"), "")
        by_group[workload["metadata"]["name"]] = said
    groups = {pod["metadata"]["name"]: pod["metadata"].get("labels", {}).get(KUEUE_GROUP) for pod in pods}
    return {name: said for name, group in groups.items() if (said := by_group.get(group or "", ""))}


def warnings(events: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Pod name -> its last warning; what is said again and again once."""
    last: dict[str, tuple[str, str]] = {}
    for event in events:
        about = event.get("involvedObject", {})
        if about.get("kind") != "Pod" or event.get("type") != "Warning":
            continue
        at = (
            event.get("lastTimestamp")
            or (event.get("series") or {}).get("lastObservedTime")
            or event.get("eventTime")
            or ""
        )
        said = f"{event.get('reason', '')}: {event.get('message', '')}"
        if at >= last.get(about["name"], ("", ""))[0]:
            last[about["name"]] = (at, plain(said))
    return {name: said for name, (_, said) in last.items()}


def plain(message: str) -> str:
    """Without what the scheduler adds for its developers."""
    return re.sub(r"\s*(preemption: .*|no new claims to deallocate.*)$", "", message.strip(), flags=re.DOTALL)[
        :300
    ].rstrip(" ,.")


def _judge(
    pod: Mapping[str, Any], conditions: Mapping[str, Any], waiting: list[Any], ended: list[Any]
) -> tuple[InstancePhase, Cause, str]:
    """(phase, cause, message) from what the API says of a pod."""
    status = pod.get("status", {})
    phase = status.get("phase")
    if phase in {"Succeeded", "Failed"}:
        return InstancePhase.ENDED, *_why_ended(status, conditions.get("DisruptionTarget", {}), ended)
    told_to_end = bool(pod["metadata"].get("deletionTimestamp"))
    if phase == "Unknown" or (phase == "Running" and told_to_end and _node_lost(conditions)):
        # given up by Kubernetes: a node that is only silent goes on, as all are where the API server was away
        return InstancePhase.ENDED, Cause.NODE_LOST, "its node does not answer"
    if told_to_end:
        return InstancePhase.ENDING, *_why_told_to_end(conditions)
    if conditions.get("PodScheduled", {}).get("status") != "True":
        return InstancePhase.QUEUED, Cause.NONE, _why_queued(pod, conditions)
    reasons = {one.get("reason"): plain(one.get("message", "")) for one in waiting}
    for reason in reasons.keys() & STUCK.keys():
        cause = Cause.NONE if MOMENTARY.search(reasons[reason]) else STUCK[reason]
        return InstancePhase.STARTING, cause, f"{reason}: {reasons[reason]}"
    ready = phase == "Running" and conditions.get("Ready", {}).get("status") == "True"
    return (InstancePhase.READY if ready else InstancePhase.STARTING), Cause.NONE, ""


def _why_queued(pod: Mapping[str, Any], conditions: Mapping[str, Any]) -> str:
    """The scheduler's message, or who holds it back."""
    if not pod["spec"].get("schedulingGates"):
        return plain(conditions.get("PodScheduled", {}).get("message", ""))
    queue = pod["metadata"].get("labels", {}).get(KUEUE_QUEUE, "")
    return f"waits in Kueue's queue {queue}" if queue else "held back by a scheduling gate"


def _why_told_to_end(conditions: Mapping[str, Any]) -> tuple[Cause, str]:
    disrupted, by_kueue = conditions.get("DisruptionTarget", {}), conditions.get("TerminationTarget", {})
    if by_kueue.get("status") == "True":
        return Cause.PREEMPTED, f"Kueue takes it back: {plain(by_kueue.get('message', ''))}"
    if disrupted.get("status") == "True" and disrupted.get("reason") in ENDS:
        return _why_ended({}, disrupted, [])
    return Cause.STOPPED, "it is told to end"


def _why_ended(status: Mapping[str, Any], disrupted: Mapping[str, Any], ended: list[Any]) -> tuple[Cause, str]:
    """A disruption first: it is why the containers ended."""
    reason = status.get("reason", "")
    message = plain(status.get("message", "")) or plain(disrupted.get("message", ""))
    for said in (disrupted.get("reason") if disrupted.get("status") == "True" else "", reason):
        if said in ENDS:
            return ENDS[said], f"{said}: {message}" if message else said
    if status.get("phase") == "Succeeded":
        return Cause.DONE, ""
    failed = [f"{one.get('reason', 'Error')}, exit code {one['exitCode']}" for one in ended if one.get("exitCode")]
    return Cause.FAILED, failed[0] if failed else message or reason


def _node_lost(conditions: Mapping[str, Any]) -> bool:
    """Whether the node controller has marked it: its kubelet has not been heard of."""
    ready = conditions.get("Ready", {})
    return ready.get("status") in {"False", "Unknown"} and ready.get("reason") == "NodeNotReady"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
