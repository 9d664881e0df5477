"""The agent pools of a fleet on AKS: their machines, their size, and why they lack some."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from clusterctl.clouds.azure_listing import COMPUTE_VERSION
from clusterctl.clouds.azure_session import AzureSession
from clusterctl.clouds.base import CloudInstance, InUse
from clusterctl.fleet.outputs import FleetOutputs, FleetPool

AKS_VERSION = "2024-09-01"
POOL_TAG = "aks-managed-poolName"
"""AKS puts it on the scale set of each pool."""
ENDED = {"PowerState/deallocated", "PowerState/stopped"}


def instances(session: AzureSession, fleet: FleetOutputs) -> Iterator[CloudInstance]:
    """Live machines of the fleet's pools."""
    pools = {pool.group: pool.name for pool in fleet.pools}
    for row in _scale_sets(session, fleet):
        pool = pools.get((row.get("tags") or {}).get(POOL_TAG, ""))
        if pool is not None:
            spot = row["properties"].get("virtualMachineProfile", {}).get("priority") == "Spot"
            for machine in session.pages(
                f"{row['id']}/virtualMachines", COMPUTE_VERSION, query="&$expand=instanceView"
            ):
                yield _instance(machine, pool, spot=spot)


def _instance(row: Mapping[str, Any], pool: str, *, spot: bool) -> CloudInstance:
    its = row["properties"]
    codes = {status["code"] for status in its.get("instanceView", {}).get("statuses") or ()}
    return CloudInstance(
        id=row["id"],
        pool=pool,
        since=datetime.fromisoformat(its["timeCreated"]),
        zone=next(iter(row.get("zones") or ()), ""),
        address=its.get("osProfile", {}).get("computerName", ""),
        spot=spot,
        ready="PowerState/running" in codes,
        message="" if not codes & ENDED else "stopped",
    )


def resize(session: AzureSession, fleet: FleetOutputs, pool: FleetPool, nodes: int) -> None:
    """Begin to make an agent pool that large.  Raises InUse while AKS is still changing it."""
    path = _path(session, fleet, pool)
    said = session.ask("GET", path, AKS_VERSION)
    its = said["properties"]
    if its.get("count") == nodes:
        return
    if its.get("provisioningState") not in {"Succeeded", "Failed", "Canceled"}:
        raise InUse(f"Azure: agent pool {pool.group} is being changed: {its.get('provisioningState')}")
    session.ask("PUT", path, AKS_VERSION, body={"properties": {**its, "count": nodes}})


def pool_problem(session: AzureSession, fleet: FleetOutputs, pool: FleetPool) -> str:
    """What AKS says of the pool, and the scale set of its machines."""
    its = session.ask("GET", _path(session, fleet, pool), AKS_VERSION)["properties"]
    failed = (its.get("status") or {}).get("provisioningError") or {}
    problems = [f"{failed.get('code', '')}: {failed.get('message', '')}"] if failed else []
    for row in _scale_sets(session, fleet):
        if (row.get("tags") or {}).get(POOL_TAG) == pool.group:
            view = session.ask("GET", f"{row['id']}/instanceView", COMPUTE_VERSION)
            bad = [status for status in view.get("statuses") or () if status.get("level") == "Error"]
            problems += [f"{status['code']}: {status.get('message', '')}" for status in bad]
    return "; ".join(dict.fromkeys(problems))


def _cluster(session: AzureSession, fleet: FleetOutputs) -> str:
    group = f"/subscriptions/{fleet.account or session.subscription}/resourceGroups/{fleet.resource_group}"
    return f"{group}/providers/Microsoft.ContainerService/managedClusters/{fleet.cluster}"


def _path(session: AzureSession, fleet: FleetOutputs, pool: FleetPool) -> str:
    return f"{_cluster(session, fleet)}/agentPools/{pool.group}"


def _scale_sets(session: AzureSession, fleet: FleetOutputs) -> Iterator[Mapping[str, Any]]:
    """They are in a group that AKS has made for the cluster's machines."""
    group = session.ask("GET", _cluster(session, fleet), AKS_VERSION)["properties"]["nodeResourceGroup"]
    root = f"/subscriptions/{fleet.account or session.subscription}/resourceGroups/{group}"
    yield from session.pages(f"{root}/providers/Microsoft.Compute/virtualMachineScaleSets", COMPUTE_VERSION)
