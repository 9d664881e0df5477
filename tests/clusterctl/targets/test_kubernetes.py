"""The Kubernetes target: pools as gangs of pods, sandboxes as a Deployment, what the cluster can't have."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from planned_run import planned, run_of

from clusterctl.errors import ClusterctlError
from clusterctl.jobs import Job
from clusterctl.targets.base import MachineRequest, RunRef
from clusterctl.targets.kubernetes_check import check_namespace, quantity
from clusterctl.targets.kubernetes_gang_watch import GangWatch
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL, TAGS_NOTE, PodGang, gangs, parse_gangs
from clusterctl.targets.kubernetes_place import NAMESPACE_FILE, KubernetesPlace
from clusterctl.targets.kubernetes_sandboxes import make_servers, only_sandboxes, pod_isolation, with_servers
from clusterctl.targets.kubernetes_tasks import exec_task, kubeconfig, launch_task, preview_lines
from clusterctl.targets.role_folder import RoleFolder
from clusterctl.targets.shell import LocalShell
from clusterctl.targets.slurm_run import clusters
from planners.plan.value import Plan
from planners.runs.reconcile import Cause, InstancePhase

NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)
TOLD_TO_END = {"deletionTimestamp": "2026-11-30T10:00:30Z"}
CLUSTER = "cctl-rl-1-rlcef-sandbox-1"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return planned(tmp_path_factory.mktemp("plan"), "kubernetes:prod")


@pytest.fixture(autouse=True)
def image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_IMAGE", "registry/clusterctl:1")


@pytest.fixture
def run(plan: Plan, tmp_path: Path) -> RunRef:
    return run_of(plan, tmp_path)


@pytest.fixture
def requests(plan: Plan) -> list[MachineRequest]:
    return [MachineRequest(resource_id="rl-1/machine/1", pool=plan.pools[0], index=0, since=NOW)]


def pod(
    name: str, phase: str = "Running", *, placed: str = "2026-11-30T10:00:07Z", nodes: int = 2, **more: Any
) -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": placed}]
    if not placed:
        message = "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
        conditions = [{"type": "PodScheduled", "status": "False", "message": message}]
    elif phase == "Running":
        conditions.append({"type": "Ready", "status": "True"})
    tags = {"run": "rl-1", "pool": "pool.rlcef.trainer", "n": "1", "expires": "7", "nodes": str(nodes)} | more.pop(
        "tags", {}
    )
    meta = {
        "name": name,
        "labels": {CLUSTER_LABEL: CLUSTER, **more.pop("labels", {})},
        "annotations": {TAGS_NOTE: json.dumps(tags)},
        "creationTimestamp": "2026-11-30T10:00:00Z",
        **more.pop("meta", {}),
    }
    status = {"phase": phase, "conditions": conditions, "podIP": "10.0.0.9"} | more
    return {"metadata": meta, "spec": {"nodeName": f"node-of-{name}"} if placed else {}, "status": status}


def gang(*pods: dict[str, Any]) -> PodGang:
    (one,) = gangs(pods, {})
    return one


def test_a_gang_is_queued_until_every_pod_has_a_node_and_paid_from_the_first() -> None:
    waits = gang(pod("c-head"), pod("c-worker1", "Pending", placed=""))
    assert (waits.phase, waits.ended) == (InstancePhase.QUEUED, False)
    assert waits.message == "c-worker1: 0/4 nodes are available: 4 Insufficient nvidia.com/gpu"
    assert waits.since is not None
    all_placed = gang(pod("c-worker1", placed="2026-11-30T10:00:09Z"), pod("c-head"))
    assert all_placed.phase is InstancePhase.STARTING
    assert all_placed.nodes == ("node-of-c-head", "node-of-c-worker1")
    assert (all_placed.since, all_placed.until) == (datetime(2026, 11, 30, 10, 0, 7, tzinfo=UTC), None)
    assert all_placed.tags["run"] == "rl-1"
    assert gang(pod("c-head")).phase is InstancePhase.QUEUED  # the other one is not made yet


KUBECTL = """#!/bin/bash
case "$*" in
  "get --raw "*/pods*) cat pods ;;
  "get --raw "*/events*) echo '{"items": []}' ;;
  "get workloads.kueue.x-k8s.io -o json") cat workloads ;;
  *) exit 1 ;;
esac
"""


def test_a_gang_that_kueue_holds_back_is_queued_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [pod(name, "Pending", placed="") for name in ("c-head", "c-worker1")]
    for each in held:
        each["spec"] = {"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}
        each["metadata"]["labels"] |= {"kueue.x-k8s.io/queue-name": "rl", "kueue.x-k8s.io/pod-group-name": "c"}
    said = "couldn't assign flavors to pod set 1: insufficient unused quota for nvidia.com/gpu in flavor h100, 8 more needed"
    conditions = [{"type": "QuotaReserved", "status": "False", "message": said}]
    workload = {"metadata": {"name": "c"}, "status": {"conditions": conditions}}
    for name, text in {
        "namespace": "rl",
        "kubectl": KUBECTL,
        "pods": json.dumps({"items": held}, separators=(",", ":")),
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    place = KubernetesPlace(LocalShell())
    script = place.listing(history=False).replace(str(NAMESPACE_FILE), "namespace")

    def seen() -> PodGang:
        ran = LocalShell().run(script, seconds=10)
        assert ran.exit_code == 0, ran.stderr
        (gang,) = place.parse(ran.text)
        assert (gang.phase, gang.since) == (InstancePhase.QUEUED, None)
        return gang

    assert seen().message == "c-head: waits in Kueue's queue rl"  # without the right to see why
    (tmp_path / "workloads").write_text(json.dumps({"items": [workload]}))
    assert seen().message == f"c-head: waits in Kueue's queue rl: {said}"


def test_a_gang_ends_with_its_last_pod_and_says_why_the_first_did() -> None:
    evicted = {"reason": "Evicted", "message": "low on memory"}
    half = gang(pod("c-head"), pod("c-worker1", "Failed", **evicted))
    assert (half.phase, half.cause, half.is_broken) == (InstancePhase.ENDING, Cause.NONE, True)
    over = gang(pod("c-head", "Failed", reason="DeadlineExceeded"), pod("c-worker1", "Failed", **evicted))
    assert (over.phase, over.cause, over.ended) == (InstancePhase.ENDED, Cause.STOPPED, True)


def test_only_pods_that_have_a_node_are_paid(tmp_path: Path) -> None:
    waits = gang(pod("c-head", "Pending", placed=""), pod("c-worker1"))
    assert [since is not None for since, _ in map(waits.span, range(3))] == [False, True, False]
    over = gang(pod("c-head", "Pending", placed="", meta=TOLD_TO_END), pod("c-worker1", meta=TOLD_TO_END))
    (gone,) = GangWatch(tmp_path / "x").with_gone([over], (), SOON)
    assert gone.phase is InstancePhase.ENDING


def test_pods_that_the_api_has_forgotten_ended_by_the_end_of_their_grace(tmp_path: Path) -> None:
    watch, late = GangWatch(tmp_path / "kept"), SOON + timedelta(hours=1)
    watch.with_gone([gang(pod("c-head", meta=TOLD_TO_END), pod("c-worker1"))], (), NOW)
    (half,) = watch.with_gone([gang(pod("c-worker1"))], (), late)
    assert (half.phase, half.is_broken) == (InstancePhase.ENDING, True)  # of no use without its head
    watch = GangWatch(tmp_path / "kept")  # of the next supervisor
    (gone,) = watch.with_gone([], (), late + timedelta(seconds=4))
    assert (gone.phase, gone.cause, gone.is_broken) == (InstancePhase.ENDED, Cause.NODE_LOST, False)
    assert [until for _, until in gone.spans] == [SOON, late + timedelta(seconds=4)]
    assert watch.with_gone([], (), late + timedelta(days=1)) == (gone,)


def test_pods_that_ended_while_nobody_looked_are_paid_to_their_own_end(tmp_path: Path) -> None:
    def over(name: str, finished: str) -> dict[str, Any]:
        ended = [{"state": {"terminated": {"finishedAt": finished, "exitCode": 137}}}]
        return pod(name, "Failed", meta=TOLD_TO_END, containerStatuses=ended)

    asked = []

    def deleted(version: str) -> list[dict[str, Any]]:
        asked.append(version)
        return [over("c-head", "2026-11-30T10:00:20Z"), over("c-worker1", "2026-11-30T10:00:25Z")]

    placed, late = datetime(2026, 11, 30, 10, 0, 7, tzinfo=UTC), NOW + timedelta(minutes=3)
    listing = json.dumps({"metadata": {"resourceVersion": "41"}, "items": [pod("c-head"), pod("c-worker1", placed="")]})
    GangWatch(tmp_path / "kept").with_gone(parse_gangs(listing, '{"items": []}'), (), NOW)
    watch = GangWatch(tmp_path / "kept", deleted)
    (gone,) = watch.with_gone([], (), late)
    assert gone.spans == ((placed, NOW + timedelta(seconds=20)), (placed, NOW + timedelta(seconds=25)))
    assert gone.until == NOW + timedelta(seconds=25)
    watch.with_gone([], (), late)
    assert asked == ["41"], "once"


def test_of_a_server_that_was_replaced_the_last_pod_counts(tmp_path: Path) -> None:
    later = {"creationTimestamp": "2026-11-30T10:00:10Z", **TOLD_TO_END}
    pods = [pod("s-b", tags={"restarts": "yes"}, nodes=1, meta=later), pod("s-a", tags={"restarts": "yes"}, nodes=1)]
    watch = GangWatch(tmp_path / "kept", lambda _: pods)
    watch.with_gone(gangs([pods[1]], {}, "41"), (), NOW)
    (gone,) = watch.with_gone([], (), NOW + timedelta(minutes=3))
    assert [until for _, until in gone.spans] == [SOON]


def test_what_a_pod_was_told_to_end_for_is_why_its_gang_ended(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"no JSON")
    watch = GangWatch(tmp_path / "kept")
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "more"}
    told = pod("c-head", nodes=1, meta=TOLD_TO_END)
    told["status"]["conditions"].append(disrupted)
    watch.with_gone([gang(told)], (), NOW)
    (gone,) = watch.with_gone([], (), NOW + timedelta(seconds=4))
    assert (gone.cause, gone.until) == (Cause.PREEMPTED, NOW + timedelta(seconds=4))


def test_a_pod_whose_node_is_lost_was_paid_until_then_and_its_gang_is_given_back() -> None:
    lost = pod("c-worker1", meta=TOLD_TO_END)
    ready = next(one for one in lost["status"]["conditions"] if one["type"] == "Ready")
    ready |= {"status": "Unknown", "reason": "NodeNotReady", "lastTransitionTime": "2026-11-30T10:05:00Z"}
    half = gang(pod("c-head"), lost)
    assert (half.phase, half.is_broken, half.message) == (
        InstancePhase.ENDING,
        True,
        "c-worker1: its node does not answer",
    )
    over = gang(pod("c-head", "Failed", reason="Error"), lost)
    assert over.span(1)[1] == datetime(2026, 11, 30, 10, 5, tzinfo=UTC)
    assert over.is_broken  # its node may come back


def test_an_answer_that_is_no_list_is_refused() -> None:
    with pytest.raises(ValueError, match="not a list of pods"):
        parse_gangs('{"kind": "Status"}', '{"items": []}')


def test_pods_are_asked_for_with_an_end_a_volume_and_no_rights(run: RunRef, requests: list[MachineRequest]) -> None:
    task = launch_task(
        run,
        context="prod",
        name=CLUSTER,
        requests=requests,
        image="registry/x:1",
        node_selector={},
        queue="research",
        now=NOW,
        deadline=None,
    )
    kubernetes = task["config"]["kubernetes"]
    spec, labels = kubernetes["pod_config"]["spec"], kubernetes["custom_metadata"]["labels"]
    assert spec["activeDeadlineSeconds"] == 2 * 3600 + 900  # 7.2 dollars at 3.6 an hour, and a quarter of an hour
    assert spec["automountServiceAccountToken"] is False
    assert spec["volumes"][0]["persistentVolumeClaim"] == {"claimName": "clusterctl"}
    assert (labels[CLUSTER_LABEL], labels["clusterctl.dev/run"]) == (CLUSTER, "rl-1")
    assert kubernetes["kueue"] == {"local_queue_name": "research", "admission_timeout": -1}
    assert task["resources"] == {
        "infra": "kubernetes/prod",
        "cpus": 30.0,
        "memory": 121.0,
        "image_id": "docker:registry/x:1",
    }
    row = {"nodes": 2, "gpus_per_node": 0}
    assert exec_task("prod", requests[0].pool, role="trainer.1", command="x", row=row)["num_nodes"] == 2


def test_the_preview_says_what_kubernetes_is_asked_for(plan: Plan) -> None:
    pool, supervisor = preview_lines(plan, 3600)
    assert "1 pod, a node each: 30 CPUs, 121 GiB, activeDeadlineSeconds 4500, at $3.6 a node-hour" in pool
    assert supervisor.startswith("supervisor: a Deployment")
    assert f"activeDeadlineSeconds {30 * 86400}" in preview_lines(plan, None)[0]


def test_names_leave_room_for_what_skypilot_adds(requests: list[MachineRequest]) -> None:
    for run_id in ("rl-1", "a-very-long-name-of-a-run-2026-11-30-7f3a"):
        (name,) = clusters(run_id, requests, 33)
        assert len(name) + len("-0123abcd") <= 42
    assert json.loads(kubeconfig("prod", "rl"))["contexts"][0]["context"]["namespace"] == "rl"


class Api:
    """A cluster that answers what it is told to."""

    name, namespace = "kubernetes:prod", "rl"

    def __init__(
        self, nodes: list[dict[str, Any]], *, lacks: str = "", classes: tuple[str, ...] = (), minor: str = "34"
    ) -> None:
        self.nodes, self.lacks, self.classes, self.version = nodes, lacks, classes, {"minor": minor}
        self.applied: list[dict[str, Any]] = []

    def may(self, verb: str, kind: str) -> bool:
        return kind != self.lacks

    def pages(self, path: str) -> list[dict[str, Any]]:
        if path.endswith("/nodes"):
            return self.nodes
        return [{"handler": handler, "metadata": {"name": "sandboxed"}} for handler in self.classes]

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        made = [
            item
            for item in self.applied
            if item["metadata"]["name"] == name and kind.endswith("jobs") and item["kind"] == "Job"
        ]
        return {**made[0], "metadata": {**made[0]["metadata"], "uid": "7"}} if made else None

    def apply(self, items: list[dict[str, Any]], *, dry_run: bool = False) -> None:
        self.applied += [] if dry_run else items


def machine(cpu: str, memory: str, gpus: str = "0", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"labels": labels},
        "status": {"allocatable": {"cpu": cpu, "memory": memory, "nvidia.com/gpu": gpus}},
    }


@pytest.mark.parametrize(
    ("api", "says"),
    [
        (Api([machine("8", "32Gi")]), "no node has 30 vCPUs and 121 GiB; the largest have 8 and 32 GiB"),
        (Api([]), "no node has 30 vCPUs"),
        (Api([], lacks="deployments.apps"), "you may not create deployments.apps in the namespace `rl`"),
    ],
)
def test_what_the_cluster_can_not_have_is_said_at_once(plan: Plan, api: Any, says: str) -> None:
    with pytest.raises(ClusterctlError, match=says):
        check_namespace(api, plan)


def test_gpus_are_known_by_their_labels(plan: Plan) -> None:
    pool = plan.pools[0].model_copy(update={"gpu": "H100", "gpus_per_node": 8})
    with_gpus: Any = plan.model_copy(update={"pools": (pool,)})
    large: Any = {"cpu": "192", "memory": "2Ti", "gpus": "8"}
    check_namespace(Api([machine(**large, **{"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"})]), with_gpus)  # type: ignore[arg-type]
    other: Any = Api([machine(**large, **{"skypilot.co/accelerator": "a100"})])
    with pytest.raises(ClusterctlError, match="no node has 8x H100; there are 8x a100"):
        check_namespace(other, with_gpus)
    assert (quantity("1500m"), quantity("2Ti") / 2**30, quantity("junk")) == (1.5, 2048.0, 0.0)


def test_sandboxes_are_isolated_by_the_best_that_there_is() -> None:
    gvisor: Any = Api([], classes=("kata", "runsc"))
    assert (pod_isolation(gvisor).kind, pod_isolation(gvisor).runtime_class) == ("gvisor", "sandboxed")
    new: Any = Api([], minor="34+")
    assert pod_isolation(new).kind == "user namespaces"
    old: Any = Api([], minor="29")
    with pytest.raises(ClusterctlError, match="nothing that isolates sandboxes"):
        pod_isolation(old)


def test_sandbox_servers_are_owned_by_a_guard_and_filled_in_stages(run: RunRef, requests: list[MachineRequest]) -> None:
    api: Any = Api([], classes=("runsc",))
    pool = requests[0].pool
    job = Job(
        command=("serve",), pool_id=pool.id, ports={"http": 20001}, ready_path="/v1/ping", files={"sandbox.token": "t"}
    )
    assert only_sandboxes(pool, {"sandbox": job})
    assert not only_sandboxes(pool, {"sandbox": job, "trainer": job})
    many = [MachineRequest(resource_id=f"rl-1/machine/{i}", pool=pool, index=i, since=NOW) for i in range(100)]
    make_servers(
        api,
        run,
        CLUSTER,
        many,
        job,
        node_selector={},
        isolation=pod_isolation(api),
        ready=10,
        look_seconds=0.1,
        now=NOW,
        deadline=None,
    )
    made = {item["kind"]: item for item in api.applied}
    assert made["Job"]["spec"]["activeDeadlineSeconds"] == 2 * 3600 + 900
    assert {item["kind"] for item in api.applied if item["metadata"].get("ownerReferences")} == {
        "Secret",
        "NetworkPolicy",
        "Service",
        "Deployment",
    }
    assert made["Deployment"]["spec"]["replicas"] == 10 + 45
    container = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    folder = {each["name"]: each.get("value") for each in container["env"]}["CLUSTERCTL_FOLDER"]
    assert folder == container["volumeMounts"][0]["mountPath"]
    assert made["Secret"]["stringData"] == {"sandbox.token": "t"}
    assert made["Job"]["spec"]["template"]["metadata"]["labels"][CLUSTER_LABEL] == ""


def test_a_sandbox_server_is_what_its_pod_says() -> None:
    job = {
        "role": "sandbox",
        "index": 0,
        "cluster": CLUSTER,
        "nodes": 1,
        "ports": {"http": 20001},
        "resource_id": "rl-1/sandbox/1",
    }
    folder = RoleFolder(name="sandbox.1", job=job, ranks={}, asked_at=NOW)
    (found,) = with_servers([folder], [pod("x", nodes=1)], NOW)
    assert found.instance(NOW, None).phase is InstancePhase.READY
    assert found.urls("http") == "http://10.0.0.9:20001"
    assert with_servers([folder], [], NOW) == (folder,)
    (told,) = with_servers([replace(folder, told=True)], [pod("x", nodes=1)], NOW)
    assert told.instance(NOW, None).phase is InstancePhase.ENDED  # else its machines would never be given back
    replaced = gang(pod("x", "Failed", nodes=1, tags={"restarts": "yes"}), pod("y", nodes=1, tags={"restarts": "yes"}))
    assert replaced.phase is InstancePhase.STARTING
