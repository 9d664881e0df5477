"""Pods as the API shows them, as phase, cause and the scheduler's own words."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from typing import Any

import pytest

from clusterctl.targets.kubernetes_pods import pod_state, warnings
from planners.runs.reconcile import Cause, InstancePhase

AT = "2026-11-30T10:00:07Z"
WAITS = {
    "metadata": {
        "name": "trainer",
        "labels": {"clusterctl.dev/role": "trainer"},
        "creationTimestamp": "2026-11-30T10:00:00Z",
    },
    "spec": {},
    "status": {
        "phase": "Pending",
        "conditions": [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
                "0/4 nodes are available: 4 No preemption victims found for incoming pod.",
            }
        ],
    },
}


def runs(**changes: Any) -> dict[str, Any]:
    """A pod that a node has taken."""
    pod: dict[str, Any] = deepcopy(WAITS)
    pod["spec"] = {"nodeName": "gpu-0"}
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": AT}]
    pod["status"] = {"phase": "Running", "podIP": "10.0.0.9", "conditions": conditions} | changes
    return pod


def container(**state: Any) -> list[dict[str, Any]]:
    return [{"state": state}]


def test_a_queued_pod_holds_nothing_and_says_what_the_scheduler_says() -> None:
    state = pod_state(WAITS)
    assert (state.phase, state.since) == (InstancePhase.QUEUED, None)
    assert state.message == "0/4 nodes are available: 4 Insufficient nvidia.com/gpu"


def test_kueue_is_named_where_it_holds_a_pod_back() -> None:
    pod = deepcopy(WAITS)
    pod["spec"] = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}
    pod["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "research"}  # type: ignore[index]
    assert pod_state(pod).message == "waits in Kueue's queue research"
    assert pod_state(pod, "no quota").message == "waits in Kueue's queue research: no quota"


def test_what_kueue_takes_back_is_preempted() -> None:
    pod = runs()
    pod["metadata"]["deletionTimestamp"] = AT
    said = {"type": "TerminationTarget", "status": "True", "message": "Preempted to accommodate a workload"}
    pod["status"]["conditions"].append(said)
    state = pod_state(pod)
    assert (state.phase, state.cause) == (InstancePhase.ENDING, Cause.PREEMPTED)
    assert state.message == "Kueue takes it back: Preempted to accommodate a workload"


def test_a_pod_is_held_from_when_the_scheduler_gave_it_a_node() -> None:
    state = pod_state(runs())
    assert (state.phase, state.since.isoformat()) == (InstancePhase.STARTING, "2026-11-30T10:00:07+00:00")
    ready = runs()
    ready["status"]["conditions"].append({"type": "Ready", "status": "True"})
    assert pod_state(ready).phase is InstancePhase.READY


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError"])
def test_what_will_not_start_by_waiting_is_refused(reason: str) -> None:
    waiting = container(waiting={"reason": reason, "message": 'Back-off pulling image "nobody/nothing:1"'})
    state = pod_state(runs(phase="Pending", containerStatuses=waiting))
    assert (state.phase, state.cause) == (InstancePhase.STARTING, Cause.REFUSED)
    assert state.message == f'{reason}: Back-off pulling image "nobody/nothing:1"'


DISRUPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "PreemptionByScheduler",
    "message": "preempted by pod 7",
}
SCHEDULED = {"type": "PodScheduled", "status": "True", "lastTransitionTime": AT}
ENDED = {"finishedAt": "2026-11-30T10:05:00Z"}


@pytest.mark.parametrize(
    ("changes", "cause", "says"),
    [
        ({"phase": "Succeeded", "containerStatuses": container(terminated={"exitCode": 0, **ENDED})}, Cause.DONE, ""),
        (
            {
                "phase": "Failed",
                "containerStatuses": container(terminated={"exitCode": 137, "reason": "OOMKilled", **ENDED}),
            },
            Cause.FAILED,
            "OOMKilled, exit code 137",
        ),
        (
            {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."},
            Cause.PREEMPTED,
            "low on",
        ),
        (
            {"phase": "Failed", "reason": "DeadlineExceeded", "message": "Pod was active too long"},
            Cause.STOPPED,
            "Deadline",
        ),
        ({"phase": "Failed", "reason": "NodeLost"}, Cause.NODE_LOST, "NodeLost"),
        (
            {"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough"},
            Cause.NO_CAPACITY,
            "OutOfcpu",
        ),
        ({"phase": "Failed", "conditions": [SCHEDULED, DISRUPTED]}, Cause.PREEMPTED, "preempted by pod 7"),
    ],
)
def test_why_a_pod_ended(changes: dict[str, Any], cause: Cause, says: str) -> None:
    state = pod_state(runs(**changes))
    assert (state.phase, state.cause) == (InstancePhase.ENDED, cause)
    assert says in state.message
    if "containerStatuses" in changes:
        assert state.until.isoformat() == "2026-11-30T10:05:00+00:00"


def test_a_pod_on_a_silent_node_is_lost_once_kubernetes_has_given_it_up() -> None:
    """All nodes are silent for a moment where the API server was away."""
    heard = "2026-11-30T10:07:00Z"
    silent = {"type": "Ready", "status": "False", "reason": "NodeNotReady", "lastTransitionTime": heard}
    pod = runs(conditions=[SCHEDULED, silent])
    assert pod_state(pod).phase is InstancePhase.STARTING
    pod["metadata"] |= {"deletionTimestamp": "2026-11-30T10:10:00Z"}
    state = pod_state(pod)
    assert (state.phase, state.cause) == (InstancePhase.ENDED, Cause.NODE_LOST)
    assert state.until == datetime.fromisoformat(heard)


def test_the_last_warning_of_a_pod_is_told() -> None:
    def event(at: str, reason: str) -> dict[str, Any]:
        about = {"kind": "Pod", "name": "trainer"}
        return {"involvedObject": about, "type": "Warning", "reason": reason, "message": "why", "lastTimestamp": at}

    told = warnings([event("2026-11-30T10:00:02Z", "FailedScheduling"), event("2026-11-30T10:00:09Z", "FailedMount")])
    assert told == {"trainer": "FailedMount: why"}
    assert pod_state(runs(phase="Pending"), told["trainer"]).message == "FailedMount: why"
