"""A real node: pods under runc and gVisor, attempts to escape, a shell in the namespace, supervisors with their Lease."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from control_plane import wait
from laptop import volume
from real_node import IMAGE, RealNode

from clusterctl.jobs import Job
from clusterctl.jobs.stage_jobs import stage_jobs
from clusterctl.plan_service import Planner, open_source
from clusterctl.targets.base import MachineRequest, RunRef, Unreachable
from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_gangs import CLUSTER_LABEL
from clusterctl.targets.kubernetes_pods import PodState, pod_state
from clusterctl.targets.kubernetes_sandboxes import make_servers, pod_isolation
from clusterctl.targets.kubernetes_shell import IMAGE_VARIABLE, KubernetesSupervisors, PodShell
from planners.runs.reconcile import Cause, InstancePhase

RUN = "node-test"
SPEC = """
name: node-test
objective: cost
stages:
  - {kind: rlcef, model: Qwen/Qwen2.5-Coder-1.5B, steps: 9, prompts_per_step: 2, samples_per_prompt: 2, job: {command: "true"}}
fleet:
  targets: ["kubernetes:test"]
  nodes: 1
  machines:
    - {name: gpu, gpu: H100, gpus_per_node: 8, vcpus: 8, memory_gib: 64, usd_per_hour: 20}
    - {name: cpu, nodes: 1, vcpus: 3, memory_gib: 6, usd_per_hour: 2}
limits: {usd: 40, hours: 8}
"""
TOKEN = "a-long-random-word-for-the-sandbox"
ESCAPES = """
import ctypes, os, socket, subprocess
def attempt(name, act):
    try: print(name, "DONE", act())
    except BaseException as error: print(name, "refused", type(error).__name__)
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0: raise OSError(ctypes.get_errno(), name)
attempt("token", lambda: open("/var/run/secrets/kubernetes.io/serviceaccount/token").read())
attempt("server-token", lambda: open("/run/clusterctl/token").read())
attempt("home", lambda: os.listdir("/root"))
attempt("api", lambda: socket.create_connection(("10.96.0.1", 443), 2))
attempt("dns", lambda: socket.create_connection(("10.244.0.1", 53), 2))
attempt("kubelet", lambda: socket.create_connection(("10.244.0.1", 10250), 2))
attempt("write-usr", lambda: open("/usr/bin/python3", "ab"))
attempt("mount", lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
attempt("sysrq", lambda: open("/proc/sysrq-trigger", "w"))
attempt("modules", lambda: os.listdir("/lib/modules/" + os.uname().release))
attempt("disk", lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0)))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("ptrace-1", lambda: call("ptrace", 16, 1, None, None))
attempt("kill-1", lambda: open("/proc/1/mem", "r+b"))
attempt("containerd", lambda: [p for p in os.listdir("/proc") if p.isdigit() and b"containerd" in open(f"/proc/{p}/cmdline", "rb").read()][0])
print("kernel", open("/proc/version").read().split("(")[0])
"""


@pytest.fixture(scope="module")
def place(node: RealNode) -> Iterator[Kubernetes]:
    """The namespace `default` of a real node, with our image and a volume for the runs."""
    node.load_clusterctl()
    folder = node.folder / "volume"
    folder.mkdir()
    place = node.plane.place()
    place.apply([volume(folder)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(IMAGE_VARIABLE, IMAGE)
        yield place


def pod(name: str, command: list[str], **more: Any) -> dict[str, Any]:
    container = {"name": "c", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": command} | more
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def state(place: Kubernetes, name: str) -> PodState:
    found = place.get("v1/pods", name)
    assert found is not None
    return pod_state(found)


def ended(place: Kubernetes, name: str) -> PodState:
    wait(
        lambda: state(place, name).phase is InstancePhase.ENDED, f"{name} ends", why=lambda: place.get("v1/pods", name)
    )
    return state(place, name)


def test_logs_exec_and_the_memory_limit_of_a_pod(place: Kubernetes) -> None:
    greedy = ["python3", "-c", "x = bytearray(300 << 20)"]
    place.apply(
        [
            pod("plain", ["sh", "-c", "echo hello; sleep 600"]),
            pod("greedy", greedy, resources={"limits": {"memory": "64Mi"}}),
            pod("nothing", ["true"], image="localhost/nothing:1", imagePullPolicy="Never"),
        ]
    )
    killed = ended(place, "greedy")
    assert (killed.cause, killed.message) == (Cause.FAILED, "OOMKilled, exit code 137")
    wait(lambda: state(place, "plain").phase is InstancePhase.READY, "it runs")
    assert place.logs("plain").endswith(b"Z hello\n")
    code, output, _ = place.exec("plain", ["sh", "-c", "cat; exit 7"], stdin=b"given", seconds=10)
    assert (code, output) == (7, b"given")
    wait(lambda: state(place, "nothing").cause is Cause.REFUSED, "it has no image")
    assert state(place, "nothing").message.startswith("ErrImageNeverPull")


def sandbox_job(folder: Path) -> tuple[RunRef, Job]:
    """A run with sandboxes on machines of their own, and how its supervisor starts them."""
    (folder / "spec.yaml").write_text(SPEC)
    plan = Planner(now=datetime(2026, 11, 30, tzinfo=UTC)).plan(open_source(str(folder / "spec.yaml")))
    job = stage_jobs(plan, "rlcef", run_id=RUN, token=TOKEN, python="env PYTHONPATH=/data/site/code python3")["sandbox"]
    return RunRef(run_id=RUN, plan=plan, folder=folder, tags={}, stage="rlcef"), job


def test_programs_can_leave_neither_their_sandbox_nor_gvisor(place: Kubernetes, tmp_path: Path) -> None:
    run, job = sandbox_job(tmp_path)
    pool = next(pool for pool in run.plan.pools if pool.id == job.pool_id)
    now, port = datetime.now(tz=UTC), next(iter(job.ports.values()))
    requests = [MachineRequest(resource_id=f"{RUN}/machine/1", pool=pool, index=0, since=now)]
    began = time.monotonic()
    isolation = pod_isolation(place)
    make_servers(
        place,
        run,
        RUN,
        requests,
        job,
        isolation=isolation,
        node_selector={},
        ready=0,
        look_seconds=4.0,
        now=now,
        deadline=None,
    )

    def server() -> PodState | None:
        pods = [pod_state(item) for item in place.items("v1/pods", labelSelector=f"{CLUSTER_LABEL}={RUN}")]
        return next((one for one in pods if one.phase is InstancePhase.READY), None)

    wait(lambda: server() is not None, "the sandbox server answers", why=lambda: list(place.items("v1/pods")))
    ready_seconds = time.monotonic() - began
    found = server()
    assert found is not None
    ask = f"""
import json, urllib.request
def get(path, data=None):
    head = {{"Authorization": "Bearer {TOKEN}", "Content-Type": "application/json"}}
    request = urllib.request.Request("http://{found.address}:{port}" + path, data, head)
    return json.load(urllib.request.urlopen(request, timeout=60))
print(json.dumps([get("/health"), get("/run_code", json.dumps({{"language": "python", "code": {ESCAPES!r}}}).encode())]))
"""
    code, output, errors = place.exec("plain", ["python3", "-"], stdin=ask.encode(), seconds=90)
    assert code == 0, errors
    health, verdict = json.loads(output)
    assert health["isolation"] == "unshare"  # inside gVisor, whose kernel has no cgroup namespaces for bubblewrap
    told = verdict["run_result"]["stdout"]
    assert "kernel Linux version 4.19.0-gvisor" in told
    assert "DONE" not in told, told
    assert told.count("refused") == ESCAPES.count("attempt(") - 1
    assert place.get("networking.k8s.io/v1/networkpolicies", RUN) is not None
    print(f"sandbox server under gVisor: ready after {ready_seconds:.1f} s")


def test_an_image_that_can_not_be_pulled_and_the_right_one_afterwards(
    place: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IMAGE_VARIABLE, "localhost/no-such-image:1")
    with pytest.raises(
        Unreachable, match=r"the pod `clusterctl` does not run: (ErrImagePull|ImagePullBackOff): "
    ) as raised:
        PodShell(place).run("true", seconds=10)
    assert f"{IMAGE_VARIABLE} names the image" in str(raised.value.hint)
    monkeypatch.setenv(IMAGE_VARIABLE, IMAGE)
    assert PodShell(place).run("echo there", seconds=10).text == "there\n"


def test_a_namespace_has_a_shell(place: Kubernetes) -> None:
    shell = PodShell(place)
    ran = shell.run("echo $0; cat; exit 3", seconds=10, stdin=b"given")
    assert (ran.exit_code, ran.stdout) == (3, b"bash\ngiven")
    content = bytes(range(256)) * 4000
    shell.write("/data/some/file", content)
    assert shell.read("/data/some/file", offset=1000) == content[1000:]
    assert shell.list("/data/some") == {"file": len(content)}
    with pytest.raises(Unreachable, match="no answer within 1 s"):
        shell.run("sleep 30", seconds=1)


def test_a_supervisor_starts_again_and_only_the_lease_holder_works(place: Kubernetes) -> None:
    shell, supervisors = PodShell(place), KubernetesSupervisors(place)
    shell.write(
        "/data/runs/r1/supervisor.sh",
        b"echo began $HOSTNAME; while ! [ -e /data/runs/r1/done ]; do sleep 0.2; done; echo ended",
    )
    name = supervisors.start(shell, "r1", "/data/runs/r1/supervisor.sh", "/data/runs/r1/log")

    def log() -> list[str]:
        return (shell.read("/data/runs/r1/log") or b"").decode().splitlines()

    wait(
        lambda: len(log()) == 1,
        "it has begun",
        why=lambda: (supervisors.find(shell, "r1"), place.get("apps/v1/deployments", name)),
    )
    (first,) = supervisors.find(shell, "r1")
    assert first.running_seconds is not None
    supervisors.end(shell, first.address)
    wait(lambda: len(log()) == 2, "another pod has begun, once the lease was over", why=log, seconds=90)
    assert log()[0] != log()[1]
    lease = place.get("coordination.k8s.io/v1/leases", name)
    assert lease is not None
    stolen = {
        "spec": {"holderIdentity": "thief", "leaseDurationSeconds": 2, "renewTime": "2026-01-01T00:00:00.000000Z"}
    }
    place.patch("coordination.k8s.io/v1/leases", name, stolen)
    wait(lambda: len(log()) == 3, "it has seen that its lease was stolen, and has begun anew", why=log, seconds=90)
    shell.write("/data/runs/r1/done", b"")
    wait(lambda: log()[-1] == "ended" and not supervisors.find(shell, "r1"), "it has ended and is gone", why=log)
