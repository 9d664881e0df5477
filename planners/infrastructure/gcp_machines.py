"""Machines of Google Cloud: instances, groups of them, GKE clusters and node pools."""

from __future__ import annotations

from typing import Final

from planners.infrastructure.bill import AFTER_APPLY, Each, ResourceBill
from planners.infrastructure.defaults import (
    GCE_BOOT_GIB,
    GCE_DISK_TYPE,
    GKE_NODE_DISK_GB,
    GKE_NODE_DISK_TYPE,
    GKE_NODE_MACHINE,
    GKE_ZONES,
    LOCAL_SSD_GB,
)
from planners.infrastructure.kinds import is_zone
from planners.infrastructure.properties import Number, Properties
from planners.infrastructure.value import UNKNOWN, Resource, Unknown

DISK_ITEMS: Final = {
    "pd-standard": "block_pd_standard",
    "pd-balanced": "block_pd_balanced",
    "pd-ssd": "block_pd_ssd",
    "pd-extreme": "block_pd_extreme",
    "hyperdisk-balanced": "block_hyperdisk_balanced_storage",
    "hyperdisk-extreme": "block_hyperdisk_extreme_storage",
}
ACCELERATORS: Final = {
    "nvidia-tesla-t4": "accelerator_t4",
    "nvidia-tesla-v100": "accelerator_v100",
    "nvidia-tesla-p100": "accelerator_p100",
    "nvidia-tesla-p4": "accelerator_p4",
    "nvidia-tesla-k80": "accelerator_k80",
}
"""GPUs that are attached to N1 machines; those of A2, A3, A4, G2 and G4 are in the machine's price."""
LICENCES: Final = {"windows": "Windows", "rhel": "Red Hat", "sles": "SUSE"}
"""Word in an image's name → whose licence it is."""
HYPERDISK_FREE_IOPS, HYPERDISK_FREE_MBPS = 3000.0, 140.0
"""Part of a balanced hyperdisk's price: https://cloud.google.com/compute/disks-image-pricing"""
TEMPLATES = ("compute:instancetemplate", "compute:regioninstancetemplate")
GROUPS = ("compute:instancegroupmanager", "compute:regioninstancegroupmanager")
ADDRESS = "external IPv4 address"


def disk(
    bill: ResourceBill,
    name: str,
    size: Number,
    kind: object,
    *,
    per: Each = "once",
    regional: bool = False,
    assumed: tuple[str, ...] = (),
) -> None:
    """A persistent disk or hyperdisk by its size."""
    if kind is None:
        kind, assumed = GCE_DISK_TYPE.value, (*assumed, GCE_DISK_TYPE.words)
    if not isinstance(kind, str) or not kind:
        bill.unpriced(name, "GB-month", why=f"its disk type is {AFTER_APPLY}", per=per)
        return
    kind = kind.rpartition("/")[2]
    item = DISK_ITEMS.get(kind)
    if item is None:
        bill.unpriced(f"{name}, {kind}", "GB-month", size, per=per)
        return
    suffix = "_regional" if regional else ""
    why = "" if size is not None else "its size is that of its image or snapshot, which is not in the preview"
    title = f"{name}, {kind}{', two zones' if regional else ''}"
    bill.item(title, item + suffix, size, per=per, assumed=assumed, why_unknown=why)


def instance(bill: ResourceBill) -> None:
    """A Compute Engine instance: machine, GPUs, disks, address."""
    own = bill.properties
    if bill.resource.type.endswith("FromTemplate") and own.get("machineType") is None:
        found = _template(bill, "sourceInstanceTemplate")
        if found is None:
            bill.machine("", why_unknown="its instance template is not in the preview")
            return
        _template_machine(bill, found, "once")
        return
    if own.text("desiredStatus") in ("TERMINATED", "SUSPENDED"):
        bill.note("the machine is stopped: its disks and addresses are billed")
    else:
        _machine(bill, own, "once")
    no_words: tuple[str, ...] = ()
    boot = own.under("bootDisk")
    if boot.get("source") is None:
        start = boot.under("initializeParams")
        size, words = start.number("size"), no_words
        if size is None:
            size, words = float(GCE_BOOT_GIB.value), (GCE_BOOT_GIB.words,)
        disk(bill, "boot disk", size, start.get("type"), assumed=words)
        _licence(bill, start.text("image"), "once")
    _scratch(bill, float(len(own.each("scratchDisks"))), "once")
    _addresses(bill, own, "once")


def group(bill: ResourceBill) -> None:
    """A managed instance group: its target size, or what its autoscaler starts with and grows to."""
    own = bill.properties
    count, ceiling, assumed = own.number("targetSize"), None, ""
    scalers = [
        one
        for one in bill.program.users(bill.resource)
        if one.type.endswith(("Autoscaler",)) and bill.resource in bill.program.linked(one, "target", *GROUPS)
    ]
    for scaler in scalers:
        policy = Properties(scaler.properties).under("autoscalingPolicy")
        ceiling = policy.number("maxReplicas")
        if count is None:
            count, assumed = policy.number("minReplicas"), "the smallest size of its autoscaler"
    if count is None:
        count, assumed = 0.0, "no target size is set: 0, the provider's default"
    bill.nodes(count, ceiling=ceiling, assumed=assumed)
    found = _template(bill, "versions") or _template(bill, "instanceTemplate")
    if found is None:
        bill.machine("", per="node", why_unknown="its instance template is not in the preview")
        return
    _template_machine(bill, found, "node")


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
    _machine(bill, node, "node", machine=machine, assumed=words)
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
    _scratch(bill, ssds, "node")


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


def _machine(
    bill: ResourceBill, own: Properties, per: Each, *, machine: object = None, assumed: tuple[str, ...] = ()
) -> None:
    machine = own.get("machineType") if machine is None else machine
    machine = machine.rpartition("/")[2] if isinstance(machine, str) else machine
    scheduling = own.under("scheduling")
    is_spot = (
        own.flag("spot")
        or own.flag("preemptible")
        or scheduling.flag("preemptible")
        or scheduling.text("provisioningModel") == "SPOT"
    )
    capacity = "spot" if is_spot else "on_demand"
    why = ""
    if own.flag("flexStart") or scheduling.text("provisioningModel") == "FLEX_START":
        why = "no price of flex-start in the price book"
    bill.machine(
        machine if isinstance(machine, str | Unknown) else "", capacity, per=per, assumed=assumed, why_unknown=why
    )
    if not isinstance(machine, str) or machine.startswith("n1-") or machine in ("f1-micro", "g1-small"):
        for gpu in own.each("guestAccelerators"):
            _accelerator(bill, gpu, per, is_spot=bool(is_spot))


def _accelerator(bill: ResourceBill, gpu: Properties, per: Each, *, is_spot: bool) -> None:
    count, kind = gpu.number("count"), gpu.text("type").rpartition("/")[2]
    if count == 0:
        return
    item = ACCELERATORS.get(kind)
    if item is None or is_spot:
        bill.unpriced(f"GPU {kind}{', spot' if is_spot else ''}", "GPU-hour", per=per)
    else:
        bill.item(f"GPU {kind}", item, count, per=per)


def _scratch(bill: ResourceBill, count: Number, per: Each) -> None:
    if count is None or count == 0:
        return
    size = count * float(LOCAL_SSD_GB.value) if isinstance(count, float) else UNKNOWN
    bill.item("local SSD", "local_ssd", size, per=per, assumed=(LOCAL_SSD_GB.words,))


def _licence(bill: ResourceBill, image: str, per: Each) -> None:
    """Of images that Google bills a licence for: https://cloud.google.com/compute/disks-image-pricing"""
    found = next((name for word, name in LICENCES.items() if word in image.lower()), None)
    if found:
        bill.unpriced(f"{found} licence", "hour", per=per)


def _addresses(bill: ResourceBill, own: Properties, per: Each) -> None:
    """External addresses that no address of the program is for."""
    for network in own.each("networkInterfaces"):
        for access in network.each("accessConfigs"):
            if access.get("natIp") is None:
                bill.item(ADDRESS, "public_ipv4_in_use_vm", 1, per=per)


def _template(bill: ResourceBill, name: str) -> Properties | None:
    found = bill.program.linked(bill.resource, name, *TEMPLATES)
    return Properties(found[0].properties) if len(found) == 1 else None


def _template_machine(bill: ResourceBill, template: Properties, per: Each) -> None:
    _machine(bill, template, per)
    for number, each in enumerate(template.each("disks")):
        if each.get("source") is not None:
            continue
        if each.text("type") == "SCRATCH" or each.text("diskType") == "local-ssd":
            _scratch(bill, 1.0, per)
            continue
        size = each.number("diskSizeGb")
        words: tuple[str, ...] = ()
        is_boot = each.flag("boot") or (each.get("boot") is None and number == 0)
        if size is None and is_boot:
            size, words = float(GCE_BOOT_GIB.value), (GCE_BOOT_GIB.words,)
        _licence(bill, each.text("sourceImage"), per)
        disk(bill, "boot disk" if is_boot else f"disk {number + 1}", size, each.get("diskType"), per=per, assumed=words)
    _addresses(bill, template, per)


def _times(count: Number, zones: Number) -> Number:
    if count is None:
        return None
    if count == 0:
        return 0.0
    return count * zones if isinstance(count, float) and isinstance(zones, float) else UNKNOWN
