"""Machines of Azure: virtual machines, scale sets, AKS clusters and node pools, and their disks.

Types of azure-native and of azure (classic) share a table: each property is read under both of its names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from planners.infrastructure.bill import AFTER_APPLY, Each, ResourceBill
from planners.infrastructure.defaults import (
    AKS_DISK,
    AKS_DISK_GB,
    AKS_NODES,
    AKS_OUTBOUND,
    AKS_TIER,
    AZURE_DISK_TYPE,
    AZURE_OS_DISK_GB,
)
from planners.infrastructure.properties import Number, Properties
from planners.infrastructure.value import UNKNOWN, Unknown

TIERS: Final = (
    (4, "1"),
    (8, "2"),
    (16, "3"),
    (32, "4"),
    (64, "6"),
    (128, "10"),
    (256, "15"),
    (512, "20"),
    (1024, "30"),
    (2048, "40"),
    (4096, "50"),
    (8192, "60"),
    (16384, "70"),
    (32767, "80"),
)
"""GiB → number of the tier whose whole price a disk of up to that size costs:
https://azure.microsoft.com/pricing/details/managed-disks"""
FAMILIES: Final = {
    "premium": ("premium_ssd", "P"),
    "standardssd": ("standard_ssd", "E"),
    "standard": ("standard_hdd", "S"),
}
LICENSED: Final = {"redhat": "Red Hat", "suse": "SUSE"}
"""Publisher of an image → whose licence is billed with it."""
PREMIUM_V2_FREE_IOPS, PREMIUM_V2_FREE_MBPS = 3000.0, 125.0
"""Part of a Premium SSD v2's price: the page above."""
ADDRESS = "public IPv4 address"


def disk(
    bill: ResourceBill, name: str, size: Number, kind: Any, *, per: Each = "once", assumed: Sequence[str] = ()
) -> None:
    """A managed disk: a whole tier, or by the GiB for Premium SSD v2 and Ultra."""
    if kind is None:
        kind, assumed = AZURE_DISK_TYPE.value, (*assumed, AZURE_DISK_TYPE.words)
    if not isinstance(kind, str) or not kind:
        bill.unpriced(name, "disk-month", why=f"its disk type is {AFTER_APPLY}", per=per)
        return
    family, _, redundancy = kind.lower().partition("_")
    if family == "premiumv2":
        bill.item(f"{name}, Premium SSD v2", "block_premium_ssd_v2_storage", size, per=per, assumed=assumed)
        return
    if family == "ultrassd":
        bill.item(f"{name}, Ultra", "block_ultra_storage", size, per=per, assumed=assumed)
        return
    if family not in FAMILIES or redundancy not in ("lrs", ""):
        bill.unpriced(f"{name}, {kind}", "disk-month", per=per)
        return
    if not isinstance(size, float):
        why = AFTER_APPLY if size is UNKNOWN else "that of its image or snapshot, which is not in the preview"
        bill.unpriced(f"{name}, {kind}", "disk-month", why=f"its size is {why}", per=per)
        return
    words, letter = FAMILIES[family]
    smallest = 32 if letter == "S" else 4
    tier = next(((gib, number) for gib, number in TIERS if gib >= max(size, smallest)), None)
    if tier is None:
        bill.unpriced(f"{name}, {kind}", "disk-month", why="larger than any tier", per=per)
        return
    gib, number = tier
    text = f"{gib // 1024}tib" if gib >= 1024 else f"{gib}gib"
    item = f"block_{words}_{letter.lower()}{number}_{text}"
    bill.item(f"{name}, {letter}{number}", item, 1, per=per, assumed=assumed, unit="disk-month")


def managed_disk(bill: ResourceBill) -> None:
    """A disk of its own."""
    own = bill.properties
    size, kind = own.number("diskSizeGB"), own.get("storageAccountType", "sku.name")
    disk(bill, "disk", size, kind)
    family = kind.lower() if isinstance(kind, str) else ""
    iops, speed = own.number("diskIOPSReadWrite"), own.number("diskMBpsReadWrite")
    if family.startswith("ultrassd"):
        bill.item("IOPS", "block_ultra_iops", iops, unit="IOPS-month")
        bill.item("throughput", "block_ultra_throughput", speed, unit="MBps-month")
    elif family.startswith("premiumv2"):
        if iops is UNKNOWN or (isinstance(iops, float) and iops > PREMIUM_V2_FREE_IOPS):
            bill.unpriced("IOPS over 3,000", "IOPS-month")
        if speed is UNKNOWN or (isinstance(speed, float) and speed > PREMIUM_V2_FREE_MBPS):
            bill.unpriced("MB/s over 125", "MBps-month")


def virtual_machine(bill: ResourceBill) -> None:
    """A machine with its OS disk and data disks."""
    own = bill.properties
    machine = own.get("hardwareProfile.vmSize", "vmSize", "size")
    _machine(bill, machine, own, "once")
    profile = own.under("storageProfile") if own.get("storageProfile") is not None else own
    _os_disk(bill, profile.under("osDisk", "storageOsDisk"), "once")
    for each in profile.each("dataDisks", "storageDataDisks"):
        if each.get("managedDisk.id", "managedDiskId") is None and each.text("createOption").lower() != "attach":
            size, kind = each.number("diskSizeGB"), each.get("managedDisk.storageAccountType", "managedDiskType")
            disk(bill, f"disk {each.text('name')}".strip(), size, kind)


def scale_set(bill: ResourceBill) -> None:
    """A scale set: its machines with their disks; its ceiling is its autoscale setting's."""
    own = bill.properties
    count = own.number("sku.capacity", "instances")
    assumed = ""
    if count is None:
        count = 0.0 if own.get("skuName") is None else None
        assumed = "no capacity is set: 0" if count == 0.0 else ""
    ceiling: Number = None
    for scaler in bill.program.users(bill.resource):
        if scaler.type.rpartition(":")[2].lower() == "autoscalesetting":
            ceiling = Properties(scaler.properties).number("profiles.capacity.maximum")
    bill.nodes(count, ceiling=ceiling, assumed=assumed)
    profile = own.under("virtualMachineProfile") if own.get("virtualMachineProfile") is not None else own
    sku = own.get("sku")
    machine = sku if isinstance(sku, str) else own.get("sku.name", "skuName")
    _machine(bill, machine, profile, "node")
    storage = profile.under("storageProfile") if profile.get("storageProfile") is not None else profile
    _os_disk(bill, storage.under("osDisk"), "node")
    for each in storage.each("dataDisks"):
        size, kind = each.number("diskSizeGB"), each.get("managedDisk.storageAccountType", "storageAccountType")
        disk(bill, f"disk {each.text('name')}".strip(), size, kind, per="node")
    interfaces = profile.under("networkProfile").each("networkInterfaceConfigurations") or own.each("networkInterfaces")
    for interface in interfaces:
        for address in interface.each("ipConfigurations"):
            if address.get("publicIPAddressConfiguration", "publicIpAddresses") is not None:
                bill.item(ADDRESS, "public_ip_standard_static", 1, per="node")


def kubernetes_cluster(bill: ResourceBill) -> None:
    """An AKS cluster: its tier, its pools, and the outbound load balancer."""
    own = bill.properties
    _tier(bill, own)
    pools = own.each("agentPoolProfiles", "defaultNodePool")
    is_classic = own.get("defaultNodePool") is not None
    if not pools and own.is_unknown("agentPoolProfiles"):
        bill.machine(UNKNOWN)
    counts: list[Number] = []
    ceilings: list[Number] = []
    for pool in pools:
        count, ceiling, words = _nodes(pool)
        counts.append(count)
        ceilings.append(ceiling if ceiling is not None else count)
        bill.nodes(count, ceiling=ceiling, assumed=words)
        _pool_machines(bill, pool, is_classic=is_classic)
    if len(pools) > 1:
        bill.nodes(sum(counts) if all(isinstance(count, float) for count in counts) else UNKNOWN)  # type: ignore[arg-type]
    _outbound(bill, own.under("networkProfile"))


def _tier(bill: ResourceBill, own: Properties) -> None:
    if own.text("sku.name") == "Automatic":
        bill.unpriced("control plane, AKS Automatic", "cluster-hour")
        return
    tier = (own.text("sku.tier", "skuTier") or "").lower()
    if own.is_unknown("sku", "sku.tier", "skuTier"):
        bill.unpriced("control plane", "cluster-hour", why=f"its tier is {AFTER_APPLY}")
    elif tier in ("standard", "paid"):
        bill.item("control plane, standard tier", "k8s_control_plane_standard", 1)
    elif tier in ("", "free"):
        bill.nothing("control plane, free tier", AKS_TIER.words if not tier else "the free tier", "cluster-hour")
    else:
        bill.unpriced(f"control plane, {tier} tier", "cluster-hour")


def _outbound(bill: ResourceBill, network: Properties) -> None:
    kind = network.text("outboundType") or str(AKS_OUTBOUND.value)
    words = (AKS_OUTBOUND.words,)
    if network.is_unknown("outboundType"):
        bill.unpriced("outbound traffic", "hour", why=f"its way out is {AFTER_APPLY}")
    elif kind == "managedNATGateway":
        bill.item("NAT gateway", "nat_gateway_hour", 1)
        bill.item(ADDRESS, "public_ip_standard_static", 1, assumed=("of its NAT gateway",))
    elif kind == "loadBalancer" and network.text("loadBalancerSku").lower() != "basic":
        balancer = network.under("loadBalancerProfile")
        count = balancer.number("managedOutboundIPs.count", "managedOutboundIpCount")
        own_addresses = balancer.get("outboundIPs", "outboundIPPrefixes", "outboundIpAddressIds")
        bill.item("load balancer, outbound rule", "lb_standard_rule_hour", 1, assumed=words, unit="rule-hour")
        bill.by_use("data through it", "lb_standard_data")
        if own_addresses is None:
            number = 1.0 if count is None else count
            bill.item(f"{ADDRESS}, outbound", "public_ip_standard_static", number, assumed=words)


def node_pool(bill: ResourceBill) -> None:
    """An AKS node pool of its own."""
    count, ceiling, words = _nodes(bill.properties)
    bill.nodes(count, ceiling=ceiling, assumed=words)
    _pool_machines(bill, bill.properties, is_classic=bill.resource.type.endswith(":KubernetesClusterNodePool"))


def _nodes(pool: Properties) -> tuple[Number, Number, str]:
    count, least = pool.number("count", "nodeCount"), pool.number("minCount")
    is_scaled = pool.flag("enableAutoScaling", "autoScalingEnabled")
    ceiling = pool.number("maxCount") if is_scaled else None
    if count is not None:
        return count, ceiling, ""
    if is_scaled and least is not None:
        return least, ceiling, "the smallest size of its autoscaling"
    return float(AKS_NODES.value), ceiling, AKS_NODES.words


def _pool_machines(bill: ResourceBill, pool: Properties, *, is_classic: bool) -> None:
    machine = pool.get("vmSize")
    _machine(bill, machine, pool, "node", spot_at=("scaleSetPriority", "priority"))
    kind = pool.text("osDiskType").lower()
    if kind == "ephemeral":
        bill.note("its OS disks are ephemeral: free")
    elif pool.is_unknown("osDiskType"):
        bill.unpriced("OS disk", "disk-month", why=f"its kind is {AFTER_APPLY}", per="node")
    else:
        words: tuple[str, ...] = () if kind else (AKS_DISK.words,)
        if is_classic and not kind:
            words = ("a managed disk, the provider's default",)
        size = pool.number("osDiskSizeGB")
        if size in (None, 0.0):
            vcpus = bill.program.prices.vcpus("azure", machine) if isinstance(machine, str) else None
            size = next(gb for under, gb in AKS_DISK_GB if vcpus < under) if vcpus else None
            words = (*words, "the default size of AKS for so many vCPUs") if vcpus else words
        disk(bill, "OS disk", size, "Premium_LRS", per="node", assumed=words)
    if pool.flag("enableNodePublicIP", "nodePublicIpEnabled"):
        bill.item(ADDRESS, "public_ip_standard_static", 1, per="node")


def _machine(
    bill: ResourceBill, machine: Any, own: Properties, per: Each, *, spot_at: Sequence[str] = ("priority",)
) -> None:
    is_spot = own.text(*spot_at).lower() in ("spot", "low")
    capacity = "spot" if is_spot else "on_demand"
    bill.machine(machine if isinstance(machine, str | Unknown) else "", capacity, per=per)
    is_windows = (
        bill.resource.type.rpartition(":")[2].startswith("Windows")
        or own.get("osProfile.windowsConfiguration", "osProfileWindowsConfig") is not None
        or "windows" in own.text("storageProfile.osDisk.osType", "osType", "storageOsDisk.osType").lower()
        or own.text("storageProfile.imageReference.publisher", "sourceImageReference.publisher").lower()
        == "microsoftwindowsserver"
    )
    publisher = own.text("storageProfile.imageReference.publisher", "sourceImageReference.publisher").lower()
    if publisher in LICENSED and own.get("licenseType") is None:
        bill.unpriced(f"{LICENSED[publisher]} licence", "hour", per=per)
    if is_windows and own.text("licenseType").lower() not in ("windows_server", "windows_client"):
        bill.unpriced("Windows licence", "hour", per=per)


def _os_disk(bill: ResourceBill, own: Properties, per: Each) -> None:
    if own.get("diffDiskSettings") is not None:
        bill.note("its OS disk is ephemeral: free")
        return
    if own.text("createOption").lower() == "attach" or own.get("managedDisk.id") is not None:
        return
    size = own.number("diskSizeGB")
    words: tuple[str, ...] = ()
    if size is None:
        size, words = float(AZURE_OS_DISK_GB.value), (AZURE_OS_DISK_GB.words,)
    kind = own.get("managedDisk.storageAccountType", "storageAccountType", "managedDiskType")
    disk(bill, "OS disk", size, kind, per=per, assumed=words)
