"""An all-reduce over all GPUs of a job before anything is loaded: `torchrun ... clusterctl_preflight.py --fabric`.

Refuses a network that is not the planned one: where EFA or InfiniBand is missing, NCCL silently uses TCP, and a run
takes several times as long.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20
SLOW = {"Socket"}
"""What NCCL calls TCP."""


def main() -> int:
    """0 where all ranks were heard, by the network that was planned."""
    parser = argparse.ArgumentParser(prog="clusterctl_preflight.py")
    parser.add_argument("--fabric", action="store_true", help="EFA or InfiniBand was planned")
    parser.add_argument("--cpu", action="store_true", help="by Gloo, without GPUs")
    parser.add_argument("--mib", type=int, default=256)
    options = parser.parse_args()
    log = Path(tempfile.mkdtemp()) / "nccl.log"
    os.environ.update(NCCL_DEBUG="INFO", NCCL_DEBUG_SUBSYS="INIT,NET", NCCL_DEBUG_FILE=str(log))
    seconds, world = all_reduce(options.mib, cpu=options.cpu)
    network = network_in(log.read_text("utf-8", "replace")) if log.exists() else ""
    if os.environ.get("RANK", "0") == "0":
        shown = f" by {network}" if network else ""
        sys.stdout.write(f"all-reduce of {options.mib} MiB over {world} ranks{shown}: {seconds * 1000:.1f} ms\n")
    if problem := problem_of(network, fabric=options.fabric):
        sys.stderr.write(f"error: {problem}\n")
        return 1
    return 0


def all_reduce(mib: int, *, cpu: bool) -> tuple[float, int]:
    """Seconds of the second one, and ranks.  Raises RuntimeError where the sum is wrong."""
    import torch
    from torch import distributed

    distributed.init_process_group("gloo" if cpu else "nccl")
    world, device = distributed.get_world_size(), "cpu"
    if not cpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    seconds = 0.0
    for _ in range(2):
        numbers = torch.ones(mib * MIB // 4, device=device)
        since = time.perf_counter()
        distributed.all_reduce(numbers)
        if numbers[-1].item() != world:
            raise RuntimeError(f"the sum over {world} ranks is {numbers[-1].item()}")
        seconds = time.perf_counter() - since
    distributed.destroy_process_group()
    return seconds, world


def network_in(log: str) -> str:
    """The network that NCCL says it uses: IB, Socket, AWS Libfabric and others; empty where it says none."""
    said = re.findall(r"NCCL INFO Using network (.+)", log)
    return str(said[-1]).strip() if said else ""


def problem_of(network: str, *, fabric: bool) -> str:
    """Why this network is not the planned one; empty where it is."""
    if fabric and network in SLOW:
        return (
            "NCCL uses TCP (NET/Socket), and the plan counts on EFA or InfiniBand: is its plugin in the image, and has "
            "the job its devices?  `network_gbps` under fleet.machines says that there is none"
        )
    return ""


if __name__ == "__main__":
    sys.exit(main())
