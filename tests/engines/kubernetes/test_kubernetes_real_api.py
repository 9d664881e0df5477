"""Every manifest that we ship is taken by a real API server, and does what it says there."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
import yaml
from control_plane import ControlPlane, wait
from made_up_nodes import create, node
from stateful_crds import stateful_crds

from clusterctl.errors import SpecError
from clusterctl.paths import bundle_root
from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_errors import Forbidden
from clusterctl.targets.kubernetes_lease import KubernetesLease
from clusterctl.targets.kubernetes_manifests import NO_SCHEDULE, objects, owned_by, run_labels

IMAGE = "localhost/clusterctl:test"
RUN = "rlcef-20261130"
SETTINGS: dict[str, dict[str, Any]] = {
    "place": {"namespace": "default", "volume_gib": 20, "storage_class": "fast", "agents": True, "metrics": True, "kueue": True},
    "supervisor": {
        "namespace": "default", "account": f"{RUN}-place", "command": ["sleep", "600"], "environment": {"HOME": "/data"}, "cpus": 1,
        "memory_gib": 4,
    },
    "guard": {"seconds": 3600},
    "sandbox": {
        "run": RUN, "port": 8080, "replicas": 2, "isolation": "gvisor", "runtime_class": "gvisor", "tolerations": list(NO_SCHEDULE), "node_selector": {},
        "command": ["clusterctl", "sandbox", "serve"], "environment": {}, "ready_path": "/v1/ping", "cpus": 4, "memory_gib": 8,
        "secret": "token",
    },
    "sandbox-stateful": {
        "run": RUN, "isolation": "gvisor", "runtime_class": "gvisor", "deadline_seconds": 3600, "tolerations": [], "cpus": 1,
        "memory_gib": 4, "replicas": 2, "claims": [f"{RUN}-0", f"{RUN}-1"], "expires_at": "2026-12-01T00:00:00Z",
    },
    "agent": {
        "runtime_class": "nvidia", "node_selector": {"nvidia.com/gpu.present": "true"}, "store": "off", "store_secret": "",
        "token_secret": "agent",
    },
}  # fmt: skip


def made(template: str, **changes: Any) -> list[dict[str, Any]]:
    values = SETTINGS[template] | changes
    name = f"{RUN}-{template}" if template != "agent" else "agent"
    return objects(template, labels=run_labels(RUN, template), annotations={}, name=name, image=IMAGE, **values)


@pytest.fixture(scope="module", autouse=True)
def cluster(plane: ControlPlane) -> None:
    """Two nodes, the runtime class and the kinds that manifests name."""
    create(plane, [node("cpu-0"), node("cpu-1"), node("gpu-0", gpus=8)])
    classes = [
        {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler}
        for name, handler in (("gvisor", "runsc"), ("nvidia", "nvidia"))
    ]
    plane.place().apply([*stateful_crds(), *classes])
    wait(lambda: "sandboxclaims" in plane.kubectl("api-resources", "--cached=false"), "the kinds are served")


@pytest.mark.parametrize("template", SETTINGS)
def test_a_manifest_is_taken_first_as_a_trial_then_for_real(place: Kubernetes, template: str) -> None:
    items = made(template)
    place.apply(items, dry_run=True)
    place.apply(items)
    place.apply(items)  # again: nothing to do


def test_user_namespaces_instead_of_gvisor_are_taken(place: Kubernetes) -> None:
    place.apply(made("sandbox", isolation="user namespaces"), dry_run=True)


def test_sandboxes_go_one_to_a_node_and_not_to_gpu_nodes(plane: ControlPlane, place: Kubernetes) -> None:
    place.apply(made("sandbox"))

    def nodes() -> list[str]:
        pods = place.items("v1/pods", labelSelector=f"app.kubernetes.io/instance={RUN}-sandbox")
        return sorted(pod["spec"].get("nodeName", "") for pod in pods if pod["status"]["phase"] == "Running")

    wait(lambda: nodes() == ["cpu-0", "cpu-1"], "a sandbox server on each CPU node", why=nodes)


def test_the_chart_makes_the_same_agent(plane: ControlPlane, place: Kubernetes) -> None:
    chart = bundle_root() / "templates" / "kubernetes" / "chart"
    settings = [
        "--set",
        f"image={IMAGE},agent.tokenSecret=agent",
        "--set",
        "readNodes={team-a,team-b}",
        "--set",
        "gvisorRuntimeClass=true",
    ]
    command = [
        plane.programs / "helm",
        "template",
        "agent",
        chart,
        "--namespace",
        "default",
        "--kube-version",
        "1.34.4",
    ]
    text = subprocess.run([*command, *settings], capture_output=True, text=True, check=True).stdout
    items = [item for item in yaml.safe_load_all(text) if item]
    plane.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", given=text)
    assert sorted(item["kind"] for item in items) == ["ClusterRole", "ClusterRoleBinding", "DaemonSet", "RuntimeClass"]
    chart_agent = next(item for item in items if item["kind"] == "DaemonSet")["spec"]
    (plain,) = made("agent")
    plain["spec"]["template"]["metadata"]["labels"] = chart_agent["template"]["metadata"]["labels"]
    plain["spec"]["template"]["metadata"].pop("annotations", None)
    annotations = chart_agent["template"]["metadata"].pop("annotations")
    assert annotations == {"prometheus.io/scrape": "true", "prometheus.io/port": "9400"}
    assert chart_agent == plain["spec"]
    bare = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "image: the one made from templates/kubernetes/Containerfile" in bare.stderr


def test_at_its_deadline_the_guard_goes_and_all_that_it_owns(place: Kubernetes) -> None:
    (guard,) = made("guard", seconds=3600)
    guard["metadata"]["name"] = "short"
    guard["spec"]["template"]["spec"]["nodeSelector"] = {"no": "node"}  # kwok completes the pods of jobs at once
    place.apply([guard])
    owner = place.get("batch/v1/jobs", "short")
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owned"}, "data": {}}
    place.apply(owned_by([item], owner))
    place.patch("batch/v1/jobs", "short", {"spec": {"activeDeadlineSeconds": 1}})  # a limit that was lowered
    wait(
        lambda: place.get("v1/configmaps", "owned") is None,
        "the owned object is gone",
        why=lambda: place.get("batch/v1/jobs", "short"),
    )


def test_one_holder_has_the_lease_and_a_stolen_one_is_seen(place: Kubernetes) -> None:
    clock = [0.0]
    first, second = (
        KubernetesLease(place, "lock", "a", lambda: clock[0]),
        KubernetesLease(place, "lock", "b", lambda: clock[0]),
    )
    assert (first.take(), second.take(), first.take()) == (True, False, True)
    clock[0] += 29.0
    assert not second.take()
    clock[0] += 29.0
    assert not second.take()  # the first has renewed it meanwhile: counted anew
    clock[0] += 31.0
    assert second.take()
    assert not first.take()
    held = place.get("coordination.k8s.io/v1/leases", "lock")
    assert (held["spec"]["holderIdentity"], held["spec"]["leaseTransitions"]) == ("b", 2)


def test_what_was_deleted_since_a_listing_is_known_as_it_last_was(place: Kubernetes) -> None:
    containers = [{"name": "c", "image": IMAGE, "resources": {"requests": {"cpu": "999"}}}]
    meta = {"name": "short", "labels": {"short": "yes"}}
    made = place.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers}})
    version = made["metadata"]["resourceVersion"]
    assert place.deleted("v1/pods", version, labelSelector="short") == []
    place.delete("v1/pods", name="short", force=True)
    (last,) = place.deleted("v1/pods", version, labelSelector="short")
    assert (last["metadata"]["name"], "deletionTimestamp" in last["metadata"]) == ("short", True)
    assert place.deleted("v1/pods", "1", labelSelector="short") in ([], [last]), "what it has forgotten is no error"


def test_a_user_without_rights_is_told_which_one_is_missing(plane: ControlPlane) -> None:
    nobody = plane.place("nobody")
    with pytest.raises(Forbidden, match="`nobody` may not patch serviceaccounts in the namespace `default`") as raised:
        nobody.apply(made("place"))
    assert "--verb=patch --resource=serviceaccounts" in str(raised.value.hint)
    assert not nobody.may("create", "pods")
    assert plane.place().may("create", "pods")


def test_a_context_that_is_not_there(plane: ControlPlane) -> None:
    place = Kubernetes(
        "nowhere", namespace="x", kubeconfig=str(plane.kubeconfig), program=str(plane.programs / "kubectl")
    )
    with pytest.raises(SpecError, match='context "nowhere" does not exist'):
        list(place.items("v1/pods"))


def test_the_supervisor_may_only_what_its_role_says(plane: ControlPlane, place: Kubernetes) -> None:
    place.apply(made("place"))
    account = f"--as=system:serviceaccount:default:{RUN}-place"
    may = {
        words: plane.kubectl("auth", "can-i", *words.split(), account, check=False).strip().splitlines()[-1]
        for words in (
            "create pods",
            "delete deployments.apps",
            "list nodes",
            "create pods -n kube-system",
            "create clusterroles",
            "get secrets -n kube-system",
        )
    }
    assert [words for words, said in may.items() if said == "yes"] == ["create pods", "delete deployments.apps"], (
        json.dumps(may)
    )
