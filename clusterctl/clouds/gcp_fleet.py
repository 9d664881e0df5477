"""The node pools of a fleet on GKE: their machines, their size, and why they lack some."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from clusterctl.clouds.base import CloudInstance
from clusterctl.clouds.gcp_session import GoogleSession
from clusterctl.fleet.outputs import FleetOutputs, FleetPool

CLUSTER_LABEL, POOL_LABEL = "goog-k8s-cluster-name", "goog-k8s-node-pool-name"
"""GKE puts them on its machines: https://cloud.google.com/kubernetes-engine/docs/how-to/creating-managing-labels"""
OLD = timedelta(minutes=30)
"""An older error of a group says nothing of now.  Assumption."""


def instances(session: GoogleSession, fleet: FleetOutputs) -> Iterator[CloudInstance]:
    """Live machines of the fleet's pools."""
    pools = {pool.group: pool.name for pool in fleet.pools}
    wanted = f"labels.{CLUSTER_LABEL}={fleet.cluster}"
    pages = session.rows(session.compute("Instances").aggregated_list, project=session.project, filter=wanted)
    for place, rows in pages:
        for row in rows.instances:
            pool = pools.get(row.labels.get(POOL_LABEL, ""))
            if pool is not None:
                yield CloudInstance(
                    id=row.name,
                    pool=pool,
                    since=datetime.fromisoformat(row.creation_timestamp).astimezone(UTC),
                    zone=place.rpartition("/")[2],
                    address=row.name,
                    spot=row.scheduling.provisioning_model == "SPOT",
                    ready=row.status == "RUNNING",
                )


def resize(session: GoogleSession, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
    """Begin to make a node pool that large.  Raises InUse while GKE is still changing the cluster."""
    if all(group.target_size == nodes for group in _groups(session, fleet, pool)):
        return
    session.rest("POST", "container", f"{_path(session, fleet, pool)}:setSize", body={"nodeCount": nodes})


def pool_problem(session: GoogleSession, fleet: FleetOutputs, pool: FleetPool) -> str:
    """What the pool's group of machines met last, and what GKE says of the pool."""
    said = session.rest("GET", "container", _path(session, fleet, pool))
    problems = [f"{row.get('code', '')}: {row.get('message', '')}" for row in said.get("conditions") or ()]
    problems += [said["statusMessage"]] if said.get("status") == "ERROR" and said.get("statusMessage") else []
    client, now = session.compute("InstanceGroupManagers"), datetime.now(tz=UTC)
    for group in _groups(session, fleet, pool, said):
        if group.target_size == 0 or group.status.is_stable:
            continue
        zone, name = group.zone.rpartition("/")[2], group.name
        arguments = {"project": session.project, "zone": zone, "instance_group_manager": name}
        for row in session.rows(client.list_errors, **arguments):
            if now - datetime.fromisoformat(row.timestamp) < OLD:
                problems.append(f"{row.error.code}: {row.error.message}")
    return "; ".join(dict.fromkeys(problems))


def _path(session: GoogleSession, fleet: FleetOutputs, pool: FleetPool) -> str:
    project, place = fleet.account or session.project, fleet.zone or fleet.region
    return f"v1/projects/{project}/locations/{place}/clusters/{fleet.cluster}/nodePools/{pool.group}"


def _groups(session: GoogleSession, fleet: FleetOutputs, pool: FleetPool, said: Any = None) -> list[Any]:
    """The managed groups of machines behind a node pool, one a zone."""
    said = said or session.rest("GET", "container", _path(session, fleet, pool))
    client = session.compute("InstanceGroupManagers")
    found = []
    for url in said.get("instanceGroupUrls") or ():
        words = url.split("/")
        zone, name = words[words.index("zones") + 1], words[-1]
        arguments = {"project": session.project, "zone": zone, "instance_group_manager": name}
        found.append(session.call(client.get, **arguments))
    return found
