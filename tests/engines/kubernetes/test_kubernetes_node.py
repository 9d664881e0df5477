"""A real node: pods under runc and gVisor, attempts to escape, a shell in the namespace, supervisors with their Lease."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from control_plane import wait
from real_node import IMAGE, RealNode, volume

from clusterctl.targets.base import Unreachable
from clusterctl.targets.kubernetes_api import Kubernetes
from clusterctl.targets.kubernetes_manifests import objects, run_labels
from clusterctl.targets.kubernetes_pods import PodState, pod_state
from clusterctl.targets.kubernetes_shell import IMAGE_VARIABLE, KubernetesSupervisors, PodShell
from planners.runs.reconcile import Cause, InstancePhase

RUN = "node-test"
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


def test_programs_can_leave_neither_their_sandbox_nor_gvisor(place: Kubernetes) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": RUN}, "stringData": {"token": TOKEN}}
    serve = [
        "clusterctl",
        "sandbox",
        "serve",
        "--host",
        "0.0.0.0",
        "--port",
        "8080",
        "--workers",
        "4",
        "--token-file",
        "/run/clusterctl/token",
    ]
    runner = objects(
        "sandbox",
        labels=run_labels(RUN, "sandbox"),
        annotations={},
        name=RUN,
        image=IMAGE,
        run=RUN,
        port=8080,
        replicas=1,
        isolation="gvisor",
        runtime_class="gvisor",
        tolerations=[],
        command=serve,
        environment={},
        ready_path="/v1/ping",
        cpus=0.5,
        memory_gib=1,
        secret=RUN,
    )
    began = time.monotonic()
    place.apply([secret, *runner])

    def server() -> PodState | None:
        pods = [pod_state(item) for item in place.items("v1/pods", labelSelector=f"app.kubernetes.io/instance={RUN}")]
        return next((one for one in pods if one.phase is InstancePhase.READY), None)

    wait(lambda: server() is not None, "the sandbox server answers", why=lambda: list(place.items("v1/pods")))
    ready_seconds = time.monotonic() - began
    found = server()
    assert found is not None
    ask = f"""
import json, urllib.request
def get(path, data=None):
    head = {{"Authorization": "Bearer {TOKEN}", "Content-Type": "application/json"}}
    request = urllib.request.Request("http://{found.address}:8080" + path, data, head)
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
