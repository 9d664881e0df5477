"""GKE: clusters and their node pools."""

from __future__ import annotations

from planners.infrastructure.bill import AFTER_APPLY, ResourceBill
from planners.infrastructure.defaults import GKE_NODE_DISK_GB, GKE_NODE_DISK_TYPE, GKE_NODE_MACHINE, GKE_ZONES
from planners.infrastructure.gcp_disks import disk, local_ssds
from planners.infrastructure.gcp_machines import compute
from planners.infrastructure.kinds import is_zone
from planners.infrastructure.properties import Number, Properties
from planners.infrastructure.value import UNKNOWN, Resource


def cluster(bill: ResourceBill) -> None:
    """A GKE cluster: its fee, and the default node pool unless that is removed."""
    own = bill.properties
    bill.item("control plane", "k8s_control_plane", 1)
    if own.flag("enableAutopilot") or own.is_unknown("enableAutopilot"):
        bill.by_use("vCPUs that pods ask for", "gke_autopilot_vcpu")
        bill.by_use("memory that pods ask for", "gke_autopilot_memory")
        if own.is_unknown("enableAutopilot"):
            bill.note(f"whether it is an Autopilot cluster is {AFTER_APPLY}")
        return
    pools = own.each("nodePools")
    if own.flag("removeDefaultNodePool"):
        bill.note("its default node pool is removed")
        return
    if own.is_unknown("removeDefaultNodePool"):
        bill.unpriced("default node pool", "hour", why=f"whether it is removed is {AFTER_APPLY}")
        return
    if own.flag("clusterAutoscaling.enabled"):
        bill.note("node auto-provisioning may make more node pools")
    if not pools:
        _pool(bill, own, bill.resource)
    elif len(pools) == 1:
        _pool(bill, pools[0], bill.resource)
    else:
        _inline_pools(bill, pools)


def node_pool(bill: ResourceBill) -> None:
    """A GKE node pool: nodes a zone × zones."""
    _pool(bill, bill.properties, bill.resource)


def _inline_pools(bill: ResourceBill, pools: list[Properties]) -> None:
    """Several pools in a cluster: a part for each, no ceiling."""
    zones, words = _zones(bill, bill.properties, bill.resource)
    for pool in pools:
        count, _, assumed = _nodes(pool, zones)
        bill.nodes(count, assumed="; ".join(filter(None, (assumed, words))))
        _node(bill, pool.under("nodeConfig"))
    counts = [_nodes(pool, zones)[0] for pool in pools]
    bill.nodes(sum(counts) if all(isinstance(count, float) for count in counts) else UNKNOWN)  # type: ignore[arg-type]


def _pool(bill: ResourceBill, own: Properties, resource: Resource) -> None:
    zones, zone_words = _zones(bill, own, resource)
    count, ceiling, words = _nodes(own, zones)
    bill.nodes(count, ceiling=ceiling, assumed="; ".join(filter(None, (words, zone_words))))
    _node(bill, own.under("nodeConfig"))
    if own.flag("queuedProvisioning.enabled"):
        bill.note("nodes come by queued provisioning (Dynamic Workload Scheduler), whose price is not known here")


def _node(bill: ResourceBill, node: Properties) -> None:
    machine = node.get("machineType")
    words: tuple[str, ...] = ()
    if machine is None:
        machine, words = GKE_NODE_MACHINE.value, (GKE_NODE_MACHINE.words,)
    compute(bill, node, "node", machine=machine, assumed=words)
    size = node.number("diskSizeGb", "bootDisk.sizeGb")
    size_words: tuple[str, ...] = ()
    if size is None:
        size, size_words = float(GKE_NODE_DISK_GB.value), (GKE_NODE_DISK_GB.words,)
    kind = node.get("diskType", "bootDisk.diskType")
    if kind is None:
        kind, size_words = GKE_NODE_DISK_TYPE.value, (*size_words, GKE_NODE_DISK_TYPE.words)
    disk(bill, "boot disk", size, kind, per="node", assumed=size_words)
    ssds = node.number(
        "localSsdCount", "ephemeralStorageLocalSsdConfig.localSsdCount", "localNvmeSsdBlockConfig.localSsdCount"
    )
    local_ssds(bill, ssds, "node")


def _nodes(own: Properties, zones: Number) -> tuple[Number, Number, str]:
    """Nodes at the start and at most, all zones together, and what was assumed."""
    scaling = own.under("autoscaling")
    most = _times(scaling.number("maxNodeCount"), zones)
    total_most = scaling.number("totalMaxNodeCount")
    ceiling = total_most if total_most is not None else most
    count = own.number("nodeCount", "initialNodeCount")
    if count is not None:
        return _times(count, zones), ceiling, ""
    total = scaling.number("totalMinNodeCount")
    if total is not None:
        return total, ceiling, "the smallest size of its autoscaling"
    least = scaling.number("minNodeCount")
    if least is not None:
        return _times(least, zones), ceiling, "the smallest size of its autoscaling"
    return 0.0, ceiling, "no number of nodes is set: 0, the provider's default"


def _zones(bill: ResourceBill, own: Properties, resource: Resource) -> tuple[Number, str]:
    """How many zones a pool spans: its own, else its cluster's, else three in a region and one in a zone."""
    owner = resource
    if resource.type.endswith(":NodePool"):
        linked = bill.program.linked(resource, "cluster", "container:cluster")
        owner = linked[0] if len(linked) == 1 else resource
    for one in (own, Properties(resource.properties), Properties(owner.properties)):
        if one.is_unknown("nodeLocations"):
            return UNKNOWN, ""
        named = one.list("nodeLocations")
        if named:
            places = {str(name) for name in named}
            location = one.text("location") or Properties(owner.properties).text("location")
            # Of a cluster in a zone its node locations are further zones; of a pool, all.
            further = is_zone(location) and one.values is owner.properties and location not in places
            return float(len(places) + further), ""
    location = Properties(resource.properties).get("location", "zone") or Properties(owner.properties).get(
        "location", "zone"
    )
    if location is UNKNOWN:
        return UNKNOWN, ""
    if isinstance(location, str) and location:
        return (1.0, "") if is_zone(location) else (float(GKE_ZONES.value), GKE_ZONES.words)
    if bill.program.zone_of_provider(owner):
        return 1.0, ""
    return UNKNOWN, ""


def _times(count: Number, zones: Number) -> Number:
    if count is None:
        return None
    if count == 0:
        return 0.0
    return count * zones if isinstance(count, float) and isinstance(zones, float) else UNKNOWN
