"""One real node on this machine: containerd, kubelet, gVisor and a DNS server, on a bridge of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from control_plane import ControlPlane, Daemons
from image_archive import write_image

ADDRESS = "10.244.0.1"
"""Of the bridge: pods reach the API server, the DNS server and nothing else by it."""
SERVICES = "10.96.0.1"
"""Where every pod looks for the API server; the bridge has it too, so that no rule of a firewall is needed."""
BRIDGE = "clusterctl0"
HARDWARE_ADDRESS = "0a:58:0a:f4:00:01"
"""Of the bridge; else it takes the lowest of its pods', and those that stay look for it in vain when that pod has gone."""
GPUS, CPUS, MEMORY = 8, 8, "256Gi"
"""As the node says: pods ask for more than a small machine has."""
IMAGE = "localhost/clusterctl:test"
TOP = Path(__file__).parents[3]
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class RealNode:
    """Started by `with`, on a control plane that listens at SERVICES.  layers: the folder that images.sh has made.

    index: 1 = a second one beside the first, which has what they share.  cpus, memory: what it says that it has.
    """

    def __init__(
        self, plane: ControlPlane, layers: Path, index: int = 0, *, cpus: int = CPUS, memory: str = MEMORY
    ) -> None:
        self._has = f'{{"nvidia.com/gpu":"{GPUS}","cpu":"{cpus}","memory":"{memory}"}}'
        self.plane, self.layers, self.name, self._index = plane, layers, f"real{index}", index
        self.folder = plane.folder / self.name
        self.socket = self.folder / "containerd.sock"
        self._kubeconfig = plane.pki / f"{self.name}.kubeconfig"
        self.daemons = Daemons(plane.folder)

    def __enter__(self) -> RealNode:
        self.folder.mkdir()
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.lose()

    def lose(self) -> None:
        """All of it at once, as where its power is cut."""
        tasks = self._ctr_says("tasks", "ls").splitlines()[1:]
        self.daemons.end_all(force=True)
        for process in [line.split()[1] for line in tasks if line.split()[1] != "0"]:
            subprocess.run(["kill", "-9", process], check=False, capture_output=True)
        for process in _processes_of(str(self.folder)):
            subprocess.run(["kill", "-9", process], check=False, capture_output=True)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((m for m in mounts if m.startswith(str(self.folder))), reverse=True):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)

    def load(self, name: str, *layers: Path, environment: tuple[str, ...] = (), command: str = "/bin/sh") -> None:
        """Make an image of the node from layers."""
        archive = self.folder / "image.tar"
        write_image(archive, name, layers, [f"PATH={PATHS}", *environment], [command])
        self._ctr("images", "import", str(archive))
        archive.unlink()

    def load_clusterctl(self, *environment: str) -> None:
        """The image of templates/kubernetes/Containerfile: its packages, its environment, and the code of this checkout.

        environment: more variables, as NAME=VALUE.
        """
        code = self.folder / "code"
        site = code / "opt/clusterctl/lib/python3.11/site-packages"
        site.mkdir(parents=True)
        dist, binaries = self.folder / "dist", code / "usr/local/bin"
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(TOP)]
        subprocess.run(build, check=True, capture_output=True)
        wheel = next(dist.glob("*.whl"))
        subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
        binaries.mkdir(parents=True)
        (binaries / "kubectl").hardlink_to(self.plane.programs / "kubectl")
        command = code / "opt/clusterctl/bin/clusterctl"
        command.parent.mkdir()
        command.write_text("#!/opt/clusterctl/bin/python3\nfrom clusterctl.cli import main\nmain()\n")
        command.chmod(0o755)
        layer = self.folder / "code.tar"
        subprocess.run(["tar", "--owner=0", "--group=0", "-C", str(code), "-cf", str(layer), "."], check=True)
        layers = [self.layers / "base.tar", self.layers / "clusterctl-environment.tar", layer]
        self.load(IMAGE, *layers, environment=(f"PATH=/opt/clusterctl/bin:{PATHS}", *environment))

    def load_sky(self) -> None:
        """A node of SkyPilot."""
        self.load("localhost/sky:test", self.layers / "base.tar", self.layers / "sky.tar", environment=("HOME=/root",))

    def _start(self) -> None:
        self._containerd()
        self.load("localhost/pause:test", self.layers / "pause.tar", command="/pause")
        kubelet = self.folder / "kubelet.yaml"
        (self.folder / "resolv.conf").write_text("")
        kubelet.write_text(_kubelet(self.folder, self.plane.pki, self.socket, self._index))
        labels = "nvidia.com/gpu.present=true,nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3,skypilot.co/accelerator=h100"
        self.daemons.start(
            f"kubelet-{self.name}",
            *(self.plane.programs / "kubelet", "--config", kubelet, "--kubeconfig", self._kubeconfig),
            *("--hostname-override", self.name, "--node-ip", ADDRESS, "--root-dir", self.folder / "kubelet"),
            *("--node-labels", labels),
            ready=lambda: " Ready" in self.plane.kubectl("get", "node", self.name, "--no-headers", check=False),
        )
        # a resource that the kubelet does not manage stays as it is patched; of the others it speaks once in an hour
        patch = f'{{"status":{{"capacity":{self._has},"allocatable":{self._has}}}}}'
        self.plane.kubectl("patch", "node", self.name, "--subresource=status", "--type=merge", "-p", patch)
        if not self._index:
            self._shared()

    def _shared(self) -> None:
        """The DNS server, and the runtime class of gVisor."""
        corefile = self.folder / "Corefile"
        corefile.write_text(
            f".:53 {{\n  bind {ADDRESS}\n  errors\n  kubernetes cluster.local {{\n    kubeconfig {self.plane.kubeconfig} test\n"
            "    pods insecure\n  }\n}\n"
        )
        dns = [self.plane.programs / "coredns", "-conf", corefile]
        self.daemons.start("coredns", *dns, ready=lambda: "CoreDNS" in self.daemons.tail("coredns"))
        gvisor = "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: gvisor}\nhandler: runsc\n"
        self.plane.kubectl("apply", "-f", "-", given=gvisor)

    def _containerd(self) -> None:
        network, config, gvisor = (self.folder / name for name in ("cni", "containerd.toml", "runsc.toml"))
        network.mkdir()
        (network / "10-bridge.conflist").write_text(_network(self.plane.folder))
        gvisor.write_text('[runsc_config]\n  platform = "systrap"\n')
        config.write_text(_containerd_config(self.folder, network, gvisor, self.socket))
        self.daemons.start(
            f"containerd-{self.name}",
            "containerd",
            "-c",
            config,
            ready=lambda: self._ctr("version", check=False) == 0,
            path=self.plane.programs,
        )

    def _ctr(self, *arguments: str, check: bool = True) -> int:
        command = ["ctr", "-a", str(self.socket), "-n", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, check=check, timeout=300).returncode

    def _ctr_says(self, *arguments: str) -> str:
        command = ["ctr", "-a", str(self.socket), "--connect-timeout", "2s", "-n", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout


def make_bridge() -> None:
    """The bridge with its addresses, so that the API server can listen there before a node is."""
    remove_bridge()
    for command in (
        f"ip link add {BRIDGE} address {HARDWARE_ADDRESS} type bridge",
        f"ip addr add {ADDRESS}/24 dev {BRIDGE}",
        f"ip addr add {SERVICES}/32 dev {BRIDGE}",
        f"ip link set {BRIDGE} up",
    ):
        subprocess.run(command.split(), check=True, capture_output=True)


def remove_bridge() -> None:
    """Gone is success."""
    subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


def _processes_of(folder: str) -> list[str]:
    """Shims and sandboxes that outlive containerd."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if folder in line and ("shim" in line or line.startswith("runsc")):
                found.append(entry.name)
    return found


def _network(folder: Path) -> str:
    return f"""{{"cniVersion": "1.0.0", "name": "pods", "plugins": [{{"type": "bridge", "bridge": "{BRIDGE}", "isGateway": true,
  "hairpinMode": true, "ipam": {{"type": "host-local", "dataDir": "{folder}/ipam",
  "ranges": [[{{"subnet": "10.244.0.0/24", "gateway": "{ADDRESS}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}"""


def _containerd_config(folder: Path, network: Path, gvisor: Path, socket: Path) -> str:
    """Without CAP_SYS_RESOURCE no OOM score can be lowered: `restrict_oom_score_adj`."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{folder}/containerd-root"
state = "{folder}/containerd-state"
[grpc]
  address = "{socket}"
[{cri}]
  sandbox_image = "localhost/pause:test"
  restrict_oom_score_adj = true
[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runsc]
  runtime_type = "io.containerd.runsc.v1"
[{cri}.containerd.runtimes.runsc.options]
  TypeUrl = "io.containerd.runsc.v1.options"
  ConfigPath = "{gvisor}"
[{cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{network}"
"""


def _kubelet(folder: Path, pki: Path, socket: Path, index: int) -> str:
    # of two kubelets on a machine each would end what the other has in the cgroups of pods
    cgroups = "cgroupsPerQOS: false\nenforceNodeAllocatable: []\n" if index else ""
    return f"""{cgroups}apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://{socket}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {pki}/ca.crt}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {pki}/kubelet.crt
tlsPrivateKeyFile: {pki}/kubelet.key
address: {ADDRESS}
port: {10250 + index}
healthzPort: 0
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
nodeStatusUpdateFrequency: 1h
nodeStatusReportFrequency: 1h
oomScoreAdj: 0
clusterDomain: cluster.local
clusterDNS: ["{ADDRESS}"]
resolvConf: {folder}/resolv.conf
podLogsDir: {folder}/podlogs
volumePluginDir: {folder}/volplugins
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
imageGCHighThresholdPercent: 100
maxPods: 110
"""
