"""200 nodes and 1,000 sandbox pods on a real control plane; what is queued, lost and refused there, as the API says it."""

from __future__ import annotations

from typing import Any

import pytest
from at_size import AtSize
from control_plane import ControlPlane, wait
from made_up_nodes import create, node

from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_pods import PodState, pod_state, warnings
from planners.runs.reconcile import Cause, InstancePhase


def gang(name: str, pods: int, gpus: int) -> list[dict[str, Any]]:
    """Pods of a pool."""
    resources = {"limits": {"nvidia.com/gpu": str(gpus)}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"{name}-{index}", "namespace": "default", "labels": {"gang": name}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x:1", "resources": resources}]},
        }
        for index in range(pods)
    ]


def states(place: Kubernetes, name: str) -> list[PodState]:
    said = warnings(place.items("v1/events", fieldSelector="involvedObject.kind=Pod,type=Warning"))
    return [
        pod_state(pod, said.get(pod["metadata"]["name"], ""))
        for pod in place.items("v1/pods", labelSelector=f"gang={name}")
    ]


def test_200_nodes_and_1000_sandboxes(
    plane: ControlPlane, place: Kubernetes, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = AtSize(plane, place)
    phases = measured.fill(200, 1000, most_seconds=120.0)
    assert phases == {InstancePhase.READY: 1000}
    with capsys.disabled():
        print(
            "\nKubernetes, 200 nodes: " + "; ".join(f"{name} {seconds} s" for name, seconds in measured.seconds.items())
        )


def test_a_gang_that_does_not_fit_says_what_the_scheduler_says(plane: ControlPlane, place: Kubernetes) -> None:
    plane.kubectl("delete", "nodes", "--all")
    create(plane, [node(f"h100-{index}", gpus=8) for index in range(4)])
    create(plane, gang("large", 6, 8))

    def settled() -> bool:
        found = states(place, "large")
        return sorted(s.phase for s in found) == sorted([InstancePhase.READY] * 4 + [InstancePhase.QUEUED] * 2) and all(
            s.message for s in found if s.phase is InstancePhase.QUEUED
        )

    wait(settled, "four run and two wait", why=lambda: states(place, "large"))
    waiting = [state for state in states(place, "large") if state.phase is InstancePhase.QUEUED]
    assert {state.message for state in waiting} == {"0/4 nodes are available: 4 Insufficient nvidia.com/gpu"}
    assert all(state.since is None for state in waiting)
    running = [state for state in states(place, "large") if state.phase is InstancePhase.READY]
    assert all(state.since and 0 <= (state.since - state.created).total_seconds() < 30 for state in running)


def test_a_node_that_is_lost_takes_its_pod(plane: ControlPlane, place: Kubernetes) -> None:
    victim = next(state for state in states(place, "large") if state.phase is InstancePhase.READY)
    plane.kubectl("delete", "node", victim.node)

    def lost() -> bool:
        now = {state.name: state for state in states(place, "large")}
        return victim.name not in now or now[victim.name].cause in {Cause.NODE_LOST, Cause.STOPPED}

    wait(lost, "the pod went with its node", why=lambda: states(place, "large"), seconds=90.0)


def test_a_pod_that_is_more_important_preempts(plane: ControlPlane, place: Kubernetes) -> None:
    first = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": "first"},
        "value": 1000,
    }
    plane.place().apply([first])
    plane.kubectl("delete", "pods", "-l", "gang=large", "--force", "--grace-period=0")
    create(plane, gang("low", 3, 8))
    wait(
        lambda: all(s.phase is InstancePhase.READY for s in states(place, "low")),
        "three run",
        why=lambda: states(place, "low"),
    )
    high = gang("high", 1, 8)
    high[0]["spec"]["priorityClassName"] = "first"
    seen: set[tuple[InstancePhase, Cause]] = set()
    create(plane, high)

    def preempted() -> bool:
        seen.update((state.phase, state.cause) for state in states(place, "low"))
        return all(state.phase is InstancePhase.READY for state in states(place, "high"))

    wait(preempted, "the important one runs", why=lambda: (states(place, "high"), states(place, "low")))
    assert len(states(place, "low")) == 2 or any(cause is Cause.PREEMPTED for _, cause in seen)
