"""A Ray cluster of the ranks of a job, and the command that trains on it: `python clusterctl_ray.py ... -- COMMAND`.

Rank 0 starts the head, waits until all nodes and GPUs are there, then runs the command; the others wait for the
head's port and join it.  Ray has a port and a folder of its own, so that it meets no other; only what was started
here is ended.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

POLL_SECONDS = 2.0
RANK = "clusterctl_rank_"
"""Resource by which the head knows which rank a node is."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command's exit code on the head, Ray's own on the others; 1 with a message where nodes are missing."""
    options = arguments(argv)
    head = options.head.rpartition("//")[2].rpartition(":")[0] or options.head
    own = address_to(head)
    os.environ.update(sockets(own))
    os.environ["RAY_ADDRESS"] = f"{head}:{options.port}"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    first = options.rank == 0 and options.offset == 0
    if not first:
        wait_for_port(head, options.port, options.deadline_seconds)
    if options.preflight_port and options.nodes > 1 and run(preflight_command(options, head)):
        return 1
    ray = subprocess.Popen(start_command(options, own, head=first))
    try:
        if not first:
            return ray.wait()
        missing = wait_for_nodes(options, nodes_of)
        if missing:
            sys.stderr.write(f"error: after {options.deadline_seconds:g} s Ray lacks {missing}\n")
            return 1
        return run(options.command)
    finally:
        ray.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            ray.wait(timeout=20)
        ray.kill()


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says, with the ranks that the launcher tells by variables."""
    parser = argparse.ArgumentParser(prog="clusterctl_ray.py")
    add, environment = parser.add_argument, os.environ.get
    add("--nodes", type=int, required=True, help="of the whole cluster")
    add("--gpus", type=int, required=True, help="per node")
    add("--port", type=int, required=True, help="of the head")
    add("--head", default=environment("CLUSTERCTL_HEAD", "127.0.0.1"), help="address or URL of the head's node")
    add("--rank", type=int, default=int(environment("CLUSTERCTL_NODE_RANK", "0")))
    add("--offset", type=int, default=0, help="ranks before the first of this pool")
    add("--deadline-seconds", type=float, default=900.0)
    add("--preflight-port", type=int, default=0, help="all-reduce over all GPUs first, by this port of the head")
    add("--fabric", action="store_true", help="EFA or InfiniBand was planned")
    add("command", nargs="*")
    return parser.parse_args(argv)


def preflight_command(options: argparse.Namespace, head: str) -> list[str]:
    """The all-reduce on this node's GPUs; ranks wait for each other in it."""
    several = [f"--nnodes={options.nodes}", f"--nproc-per-node={options.gpus}"]
    where = [f"--node-rank={options.rank + options.offset}", f"--master-addr={head}"]
    where += [f"--master-port={options.preflight_port}"]
    program = ["clusterctl_preflight.py", *(["--fabric"] if options.fabric else [])]
    return [sys.executable, "-m", "torch.distributed.run", *several, *where, *program]


def start_command(options: argparse.Namespace, own: str, *, head: bool) -> list[str]:
    """`ray start` in the foreground, with the rank as a resource."""
    rank = options.rank + options.offset
    where = ["--head", f"--port={options.port}"] if head else [f"--address={os.environ['RAY_ADDRESS']}"]
    where += ["--include-dashboard=false", f"--temp-dir=/tmp/ray-{options.port}"] if head else []
    common = [f"--node-ip-address={own}", f"--num-gpus={options.gpus}", "--block", "--disable-usage-stats"]
    return ["ray", "start", *where, *common, f'--resources={{"{RANK}{rank}": 1}}']


def wait_for_nodes(
    options: argparse.Namespace,
    look: Callable[[], list[dict[str, Any]]],
    pause: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Until every rank is there with its GPUs; what is missing at the deadline, in words."""
    deadline, missing = clock() + options.deadline_seconds, "every node"
    while clock() < deadline:
        missing = missing_in(look(), nodes=options.nodes, gpus=options.gpus)
        if not missing:
            return ""
        pause(POLL_SECONDS)
    return missing


def missing_in(seen: Sequence[dict[str, Any]], *, nodes: int, gpus: int) -> str:
    """Ranks that have not joined, and those with fewer GPUs, in words; empty where all is there."""
    found = {}
    for node in seen:
        resources = node.get("Resources", {}) if node.get("Alive", True) else {}
        for name in resources:
            if rank := re.fullmatch(rf"{RANK}(\d+)", name):
                found[int(rank[1])] = resources.get("GPU", 0)
    absent = [str(rank) for rank in range(nodes) if rank not in found]
    short = [f"{gpus - have:g} of {gpus} GPUs of rank {rank}" for rank, have in sorted(found.items()) if have < gpus]
    return "; ".join(([f"{len(absent)} of {nodes} nodes: ranks {', '.join(absent)}"] if absent else []) + short)


def nodes_of() -> list[dict[str, Any]]:
    """The cluster's nodes as the head knows them; none while it starts."""
    import ray

    try:
        ray.init(address=os.environ["RAY_ADDRESS"], logging_level="ERROR", log_to_driver=False)
        return list(ray.nodes())
    except (ConnectionError, RuntimeError, OSError):
        return []
    finally:
        ray.shutdown()


def wait_for_port(host: str, port: int, seconds: float) -> None:
    """Until the head listens.  Raises SystemExit where it doesn't in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5.0):
            return
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"error: no Ray head on {host}:{port} for {seconds:g} s")


def run(command: Sequence[str]) -> int:
    """The command as a child, ended with us."""
    child = subprocess.Popen(command)
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=25)
            child.kill()


def address_to(head: str) -> str:
    """This node's address on the route to the head."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((head, 9))  # sends nothing
        return str(probe.getsockname()[0])


def sockets(own: str) -> dict[str, str]:
    """NCCL's and Gloo's interface: the one with this address, where the system names it and nobody has chosen."""
    name = interface_of(own)
    chosen = {"NCCL_SOCKET_IFNAME": name, "GLOO_SOCKET_IFNAME": name} if name else {}
    return {variable: value for variable, value in chosen.items() if variable not in os.environ}


def interface_of(address: str) -> str:
    """Name of the interface with an address; empty where nobody says."""
    import fcntl
    import struct

    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            found = fcntl.ioctl(probe.fileno(), 0x8915, struct.pack("256s", name.encode()[:15]))  # SIOCGIFADDR
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return ""


if __name__ == "__main__":
    sys.exit(main())
