"""A Kubernetes control plane on this machine: etcd, API server, controllers, scheduler; and kwok, whose nodes are made up."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from certificates import make_certificates

from clusterctl.targets.kubernetes_api import Kubernetes

UP_SECONDS = 60.0


class Daemons:
    """Processes in sessions of their own, their output in FOLDER/NAME.log; ended in the opposite order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *command: str | Path, ready: Callable[[], bool], path: Path | None = None) -> None:
        """Start one and wait until it is ready."""
        environment = os.environ | ({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        self._running.append((name, process))
        wait(ready, f"{name} is ready", lambda: process.poll() is None, lambda: self.tail(name))

    def end(self, name: str, *, force: bool = False) -> None:
        """End one by TERM; force: by KILL."""
        process = next(process for other, process in self._running if other == name)
        self._running.remove((name, process))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL if force else signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(15)

    def end_all(self, *, force: bool = False) -> None:
        """The last one first."""
        while self._running:
            self.end(self._running[-1][0], force=force)

    def tail(self, name: str) -> str:
        """The end of its output."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-1500:]


def wait(
    ready: Callable[[], bool],
    what: str,
    alive: Callable[[], bool] = lambda: True,
    why: Callable[[], object] = lambda: "",
    *,
    seconds: float = UP_SECONDS,
) -> None:
    """Until it is so.  Raises TimeoutError with what `why` says."""
    deadline = time.monotonic() + seconds
    while not ready():
        if not alive() or time.monotonic() > deadline:
            raise TimeoutError(f"waited for: {what}\n{why()}")
        time.sleep(0.1)


class ControlPlane:
    """Started by `with`.  `address`: where it listens; loopback, unless pods of a real node are to reach it.

    kubelet: the address of that node; lost_seconds: without a sign of a node until it counts as lost; flags: more of
    the API server's.
    """

    def __init__(
        self,
        folder: Path,
        programs: Path,
        address: str = "127.0.0.1",
        port: int = 0,
        kubelet: str = "127.0.0.2",
        *,
        lost_seconds: int = 300,
        flags: tuple[str, ...] = (),
    ) -> None:
        self.flags = flags
        self.folder, self.programs, self.address, self.kubelet = folder, programs, address, kubelet
        self.port, self._lost_seconds = port or free_port(), lost_seconds
        self.pki = folder / "pki"
        self.kubeconfig = self.pki / "admin.kubeconfig"
        self.daemons = Daemons(folder)

    def __enter__(self) -> ControlPlane:
        make_certificates(self.pki, f"https://{self.address}:{self.port}", self.address, self.kubelet)
        try:
            self._start()
        except BaseException:
            self.daemons.end_all()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.daemons.end_all()
        shutil.rmtree(self.folder / "etcd", ignore_errors=True)

    def kubectl(self, *arguments: str, given: str = "", check: bool = True, client: str = "admin") -> str:
        """What it prints.  Raises AssertionError with what it says where it fails."""
        command = [self.programs / "kubectl", "--kubeconfig", self.pki / f"{client}.kubeconfig", *arguments]
        ended = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0 or not check, f"kubectl {' '.join(arguments)}: {ended.stderr}{ended.stdout}"
        return ended.stdout if check else ended.stdout + ended.stderr

    def place(self, client: str = "admin") -> Kubernetes:
        """As the product reaches it."""
        kubeconfig = self.pki / f"{client}.kubeconfig"
        return Kubernetes("test", kubeconfig=str(kubeconfig), program=str(self.programs / "kubectl"))

    def start_apiserver(self) -> None:
        """Also again, after it was ended."""
        pki, client = self.pki, f"http://127.0.0.1:{self._etcd}"
        reachable = ["--advertise-address", self.address]
        if self.address == "127.0.0.1":
            reachable = ["--advertise-address", "198.51.100.1", "--endpoint-reconciler-type", "none"]
        self.daemons.start(
            "apiserver",
            *(self.programs / "kube-apiserver", "--etcd-servers", client, "--secure-port", str(self.port)),
            *("--bind-address", self.address, *reachable, "--service-cluster-ip-range", "10.96.0.0/16"),
            *("--tls-cert-file", pki / "apiserver.crt", "--tls-private-key-file", pki / "apiserver.key"),
            *("--client-ca-file", pki / "ca.crt", "--kubelet-certificate-authority", pki / "ca.crt"),
            *("--kubelet-client-certificate", pki / "apiserver-to-kubelet.crt"),
            *(
                "--kubelet-client-key",
                pki / "apiserver-to-kubelet.key",
                "--kubelet-preferred-address-types",
                "InternalIP",
            ),
            *("--service-account-issuer", "https://kubernetes.default.svc"),
            *(
                "--service-account-key-file",
                pki / "accounts.pub",
                "--service-account-signing-key-file",
                pki / "accounts.key",
            ),
            *("--authorization-mode", "Node,RBAC", "--allow-privileged=true", "--profiling=false"),
            *("--max-requests-inflight", "3000", "--max-mutating-requests-inflight", "1000", *self.flags),
            ready=lambda: self.kubectl("get", "--raw", "/readyz", check=False) == "ok",
        )

    def start_kwok(self, *, lease_seconds: int = 200) -> None:
        """Nodes with the annotation kwok.x-k8s.io/node=fake become ready, and pods on them run."""
        port = free_port()
        self.daemons.start(
            "kwok",
            *(self.programs / "kwok", "--kubeconfig", self.kubeconfig, "--config", self.programs / "kwok.yaml"),
            *("--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake"),
            *(f"--node-lease-duration-seconds={lease_seconds}", "--cidr=10.200.0.0/14", "--node-ip=10.200.0.1"),
            f"--server-address=127.0.0.1:{port}",
            ready=lambda: listens(port),
        )

    def _start(self) -> None:
        self._etcd, peer = free_port(), free_port()
        client = f"http://127.0.0.1:{self._etcd}"
        peers = [
            "--listen-peer-urls",
            f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls",
            f"http://127.0.0.1:{peer}",
        ]
        self.daemons.start(
            "etcd",
            *(self.programs / "etcd", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync"),
            *("--listen-client-urls", client, "--advertise-client-urls", client, *peers),
            *("--initial-cluster", f"default=http://127.0.0.1:{peer}", "--quota-backend-bytes", "4294967296"),
            ready=lambda: listens(self._etcd),
        )
        self.start_apiserver()
        controllers, scheduler, config = (
            self.pki / "controllers.kubeconfig",
            self.pki / "scheduler.kubeconfig",
            self.folder / "scheduler.yaml",
        )
        config.write_text(
            "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nleaderElection: {leaderElect: false}\n"
            f"clientConnection: {{kubeconfig: {scheduler}, qps: 1000, burst: 2000}}\n"  # by default 50 a second
        )
        self.daemons.start(
            "controllers",
            *(self.programs / "kube-controller-manager", "--kubeconfig", controllers, "--bind-address", "127.0.0.1"),
            *(
                "--secure-port",
                "0",
                "--leader-elect=false",
                "--use-service-account-credentials",
                "--allocate-node-cidrs=false",
            ),
            *("--service-account-private-key-file", self.pki / "accounts.key", "--root-ca-file", self.pki / "ca.crt"),
            *(
                "--kube-api-qps",
                "1000",
                "--kube-api-burst",
                "2000",
                f"--node-monitor-grace-period={self._lost_seconds}s",
            ),
            ready=lambda: "default" in self.kubectl("get", "serviceaccounts", "--no-headers", check=False),
        )
        self.daemons.start(
            "scheduler", self.programs / "kube-scheduler", "--config", config, "--secure-port", "0", ready=lambda: True
        )


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody listens there on loopback."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
