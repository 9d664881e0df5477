"""Whether a Slurm cluster has what a plan wants: partition, nodes, GPUs, cores and memory."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from clusterctl.errors import Infeasible, SpecError
from clusterctl.targets.base import Unreachable
from clusterctl.targets.shell import Shell, SshShell
from clusterctl.targets.slurm_access import client_config, in_place, known_clusters
from clusterctl.targets.slurm_tasks import node_size
from planners.plan.value import Plan, Pool

CHECK_SECONDS = 20.0
SINFO = "sinfo -h -N -o '%P|%N|%c|%m|%G|%t'"
DOWN = ("down", "drain", "fail", "maint", "unk", "inval", "futr")


@dataclass(frozen=True, slots=True)
class SlurmNode:
    """A node of a partition, as sinfo shows it."""

    name: str
    cpus: int
    memory_mib: int
    gres: str
    state: str

    @property
    def gpus(self) -> dict[str, int]:
        """GPUs by their type, in small letters; no type is the empty one."""
        found = re.findall(r"gpu:(?:([^:,()]+):)?(\d+)", self.gres)
        return {kind.lower(): int(number) for kind, number in found}

    @property
    def up(self) -> bool:
        """Whether jobs may run on it."""
        return not self.state.lower().startswith(DOWN)


def partitions_of(cluster: str) -> list[str]:
    """Names of a cluster's partitions.  Raises Unreachable."""
    return sorted(_partitions(SshShell(cluster, client_config()), cluster))


def check_cluster(shell: Shell, cluster: str, plan: Plan) -> None:
    """Raises SpecError or Infeasible with what is missing and the way on; Unreachable where nobody answers."""
    if not in_place():
        known = known_clusters(client_config())
        if cluster not in known:
            raise SpecError(
                f"~/.slurm/config names no cluster `{cluster}`" + (f"; it has {', '.join(known)}" if known else ""),
                hint="a block `Host NAME` with HostName, User and IdentityFile of its login node",
            )
    partitions = _partitions(shell, cluster)
    for pool in plan.pools:
        if problem := _problem(pool, partitions, plan):
            raise Infeasible(
                f"{cluster}: {problem}",
                hint=f"compare fleet.machines with `sinfo -o '%P %D %c %m %G'` on {shlex.quote(cluster)}",
            )


def _partitions(shell: Shell, cluster: str) -> dict[str, list[SlurmNode]]:
    ran = shell.run(SINFO, seconds=CHECK_SECONDS)
    if ran.exit_code != 0:
        why = (ran.stderr.strip().splitlines() or ["sinfo says nothing"])[-1]
        raise Unreachable(f"{cluster}: its scheduler does not answer: {why}")
    return parse_nodes(ran.text)


def parse_nodes(text: str) -> dict[str, list[SlurmNode]]:
    """Nodes by partition.  Lines that are none are left out."""
    partitions: dict[str, list[SlurmNode]] = {}
    for line in text.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) == 6 and columns[2].rstrip("+").isdigit() and columns[3].rstrip("+").isdigit():
            partition, name, cpus, memory, gres, state = columns
            node = SlurmNode(name, int(cpus.rstrip("+")), int(memory.rstrip("+")), gres, state)
            partitions.setdefault(partition.rstrip("*"), []).append(node)
    return partitions


def _problem(pool: Pool, partitions: dict[str, list[SlurmNode]], plan: Plan) -> str:
    """Why a pool can't be had, ever; empty where it can."""
    name = pool.instance_type
    if name not in partitions:
        return f"there is no partition `{name}`; there are {', '.join(sorted(partitions)) or 'none'}"
    nodes = partitions[name]
    if pool.gpus_per_node:
        have = _with_gpus(nodes, pool)
        if not have:
            kinds = sorted({f"{n}x {kind or 'GPU'}" for node in nodes for kind, n in node.gpus.items()})
            return f"partition `{name}` has no node with {pool.gpus_per_node}x {pool.gpu}; " + (
                f"it has {', '.join(kinds)}" if kinds else "it has no GPUs"
            )
        nodes = have
    cpus, memory_gib = node_size(plan, pool)
    large = [node for node in nodes if node.cpus >= cpus and node.memory_mib >= memory_gib * 1024]
    if not large:
        most = max(nodes, key=lambda node: (node.cpus, node.memory_mib))
        return (
            f"no node of partition `{name}` has {cpus:g} vCPUs and {memory_gib:g} GiB; the largest has {most.cpus} and "
            f"{most.memory_mib / 1024:.0f} GiB"
        )
    if len(large) < pool.nodes:
        return f"{pool.id} wants {pool.nodes} nodes, and partition `{name}` has {len(large)} of that kind"
    if not any(node.up for node in large):
        return f"all nodes of partition `{name}` are down"
    return ""


def _with_gpus(nodes: Sequence[SlurmNode], pool: Pool) -> list[SlurmNode]:
    wanted = re.sub(r"[^a-z0-9]", "", (pool.gpu or "").lower())
    fit = []
    for node in nodes:
        for kind, number in node.gpus.items():
            plain = re.sub(r"[^a-z0-9]", "", kind)
            named = not kind or wanted.startswith(plain) or wanted.split("80gb")[0] in plain
            if number >= pool.gpus_per_node and named:
                fit.append(node)
                break
    return fit
