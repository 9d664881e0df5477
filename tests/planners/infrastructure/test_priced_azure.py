"""What resources of Azure cost, native and classic, each against a sum worked out by hand in its comment."""

from __future__ import annotations

from typing import Any

import pytest
from priced_programs import UNKNOWN_TEXT, RoundPrices, costs, parts, state, urn

PRICES = RoundPrices(
    {("Standard_D4s_v5", "on_demand"): 0.2, ("Standard_D4s_v5", "spot"): 0.04, ("Standard_B2s", "on_demand"): 0.05},
    {
        "block_premium_ssd_p4_32gib": (5.28, "disk-month"),
        "block_premium_ssd_p10_128gib": (19.71, "disk-month"),
        "block_standard_ssd_e30_1tib": (76.8, "disk-month"),
        "block_standard_hdd_s4_32gib": (1.54, "disk-month"),
        "block_premium_ssd_v2_storage": (0.08, "GiB-month"),
        "block_ultra_storage": (0.12, "GiB-month"),
        "block_ultra_iops": (0.05, "IOPS-month"),
        "block_ultra_throughput": (0.35, "MBps-month"),
        "k8s_control_plane_standard": (0.1, "cluster-hour"),
        "lb_standard_rule_hour": (0.01, "rule-hour"),
        "lb_standard_data": (0.005, "GB"),
        "public_ip_standard_static": (0.005, "hour"),
        "public_ip_basic_dynamic": (0.004, "hour"),
        "nat_gateway_hour": (0.045, "hour"),
        "acr_premium": (1.6667, "day"),
    },
)
NATIVE = "azure-native:compute/v20230301:VirtualMachine"
CLUSTER, CLASSIC = (
    "azure-native:containerservice:ManagedCluster",
    "azure:containerservice/kubernetesCluster:KubernetesCluster",
)
OUTBOUND = {"load balancer, outbound rule": 7.3, "data through it": None, "public IPv4 address, outbound": 3.65}


def one(kind: str, inputs: dict[str, Any], *others: Any, uses: Any = None, config: Any = None) -> Any:
    return costs(PRICES, state(kind, "it", inputs, uses=uses), *others, config=config)["it"]


def test_a_native_machine_with_its_disks() -> None:
    cost = one(
        NATIVE,
        {
            "hardwareProfile": {"vmSize": "Standard_D4s_v5"},
            "storageProfile": {
                "osDisk": {"diskSizeGB": 100, "managedDisk": {"storageAccountType": "Premium_LRS"}},
                "dataDisks": [
                    {"name": "d", "diskSizeGB": 1024, "managedDisk": {"storageAccountType": "StandardSSD_LRS"}},
                    {"createOption": "Attach", "managedDisk": {"id": UNKNOWN_TEXT}},
                ],
            },
        },
    )
    # 730 × 0.2; 100 GB is billed as P10 of 128; 1,024 GB as E30; an attached disk is priced on its own
    assert parts(cost) == {"Standard_D4s_v5": 146.0, "OS disk, P10": 19.71, "disk d, E30": 76.8}


def test_a_classic_machine_and_one_of_windows() -> None:
    disk = {"storageAccountType": "Standard_LRS", "caching": "ReadWrite"}
    linux = one("azure:compute/linuxVirtualMachine:LinuxVirtualMachine", {"size": "Standard_B2s", "osDisk": disk})
    assert parts(linux) == {"Standard_B2s": 36.5, "OS disk, S4": 1.54}  # 730 × 0.05; 30 GB assumed
    windows = one("azure:compute/windowsVirtualMachine:WindowsVirtualMachine", {"size": "Standard_B2s", "osDisk": disk})
    assert parts(windows)["Windows licence"] is None
    assert not windows.is_known
    brought = {"size": "Standard_B2s", "osDisk": disk, "licenseType": "Windows_Server"}
    assert one("azure:compute/windowsVirtualMachine:WindowsVirtualMachine", brought).is_known


def test_scale_sets_native_and_classic() -> None:
    native = one(
        "azure-native:compute:VirtualMachineScaleSet",
        {
            "sku": {"name": "Standard_D4s_v5", "capacity": 3},
            "virtualMachineProfile": {
                "priority": "Spot",
                "storageProfile": {"osDisk": {"diffDiskSettings": {"option": "Local"}}},
            },
        },
    )
    assert parts(native) == {"Standard_D4s_v5, spot": 87.6}  # 3 × 730 × 0.04
    classic = one(
        "azure:compute/linuxVirtualMachineScaleSet:LinuxVirtualMachineScaleSet",
        {"sku": "Standard_B2s", "instances": 2, "osDisk": {"storageAccountType": "Premium_LRS", "diskSizeGb": 32}},
        state(
            "azure:monitoring/autoscaleSetting:AutoscaleSetting",
            "scale",
            {"profiles": [{"capacity": {"minimum": 2, "maximum": 6}}]},
            uses={
                "targetResourceId": [urn("azure:compute/linuxVirtualMachineScaleSet:LinuxVirtualMachineScaleSet", "it")]
            },
        ),
    )
    assert parts(classic) == {"Standard_B2s": 73.0, "OS disk, P4": 10.56}
    assert (classic.count, classic.ceiling_count) == (2, 6)
    assert classic.ceiling_usd_per_month == pytest.approx(6 * (36.5 + 5.28))


def test_an_aks_cluster_of_two_pools_in_the_standard_tier() -> None:
    cost = one(
        CLUSTER,
        {
            "sku": {"name": "Base", "tier": "Standard"},
            "agentPoolProfiles": [
                {"name": "system", "count": 2, "vmSize": "Standard_B2s", "osDiskType": "Ephemeral"},
                {
                    "name": "work",
                    "enableAutoScaling": True,
                    "minCount": 1,
                    "maxCount": 5,
                    "vmSize": "Standard_D4s_v5",
                    "osDiskSizeGB": 128,
                    "osDiskType": "Managed",
                },
            ],
        },
    )
    assert parts(cost) == {
        "control plane, standard tier": 73.0,
        "Standard_B2s": 73.0,  # 2 × 730 × 0.05
        "Standard_D4s_v5": 146.0,  # 1 × 730 × 0.2
        "OS disk, P10": 19.71,
        **OUTBOUND,
    }
    assert cost.count == 3


def test_an_aks_cluster_by_defaults_is_all_assumed() -> None:
    cost = one(CLUSTER, {"agentPoolProfiles": [{"count": 1, "vmSize": "Standard_D4s_v5"}]})
    # the disk of 4 vCPUs is 128 GB: P10
    assert parts(cost) == {"control plane, free tier": 0.0, "Standard_D4s_v5": 146.0, "OS disk, P10": 19.71, **OUTBOUND}
    assert all(part.assumed for part in cost.parts if part.name.startswith(("control", "OS", "load", "public")))


def test_a_classic_cluster_and_a_pool_of_its_own() -> None:
    pool = {"name": "d", "vmSize": "Standard_B2s", "nodeCount": 2, "osDiskSizeGb": 32}
    cost = one(
        CLASSIC, {"defaultNodePool": pool, "skuTier": "Free", "networkProfile": {"outboundType": "userDefinedRouting"}}
    )
    assert parts(cost) == {"control plane, free tier": 0.0, "Standard_B2s": 73.0, "OS disk, P4": 10.56}
    spot = one(
        "azure:containerservice/kubernetesClusterNodePool:KubernetesClusterNodePool",
        {
            "vmSize": "Standard_D4s_v5",
            "priority": "Spot",
            "autoScalingEnabled": True,
            "minCount": 0,
            "maxCount": 4,
            "osDiskType": "Ephemeral",
        },
    )
    assert (spot.usd_per_month, spot.count, spot.ceiling_count) == (0.0, 0, 4)
    assert spot.ceiling_usd_per_month == pytest.approx(4 * 730 * 0.04)


def test_the_resource_group_gives_the_region() -> None:
    group = "azure-native:resources:ResourceGroup"
    cost = one(
        NATIVE,
        {"resourceGroupName": UNKNOWN_TEXT, "hardwareProfile": {"vmSize": "Standard_B2s"}},
        state(group, "g", {"location": "East US"}),
        uses={"resourceGroupName": [urn(group, "g")]},
        config={},
    )
    assert cost.resource.region == "eastus"
    assert cost.parts[0].usd_per_month == pytest.approx(36.5)


@pytest.mark.parametrize(
    ("kind", "inputs", "usd"),
    [
        ("azure-native:compute:Disk", {"diskSizeGB": 32, "sku": {"name": "Premium_LRS"}}, 5.28),
        ("azure:compute/managedDisk:ManagedDisk", {"diskSizeGb": 33, "storageAccountType": "Premium_LRS"}, None),
        ("azure-native:compute:Disk", {"diskSizeGB": 100, "sku": {"name": "PremiumV2_LRS"}}, 8.0),
        (
            "azure-native:compute:Disk",
            {"diskSizeGB": 100, "sku": {"name": "UltraSSD_LRS"}, "diskIOPSReadWrite": 1000, "diskMBpsReadWrite": 10},
            65.5,  # 100 × 0.12 + 1,000 × 0.05 + 10 × 0.35
        ),
        ("azure-native:compute:Disk", {"diskSizeGB": 32, "sku": {"name": "Premium_ZRS"}}, None),
        ("azure-native:network:PublicIPAddress", {"sku": {"name": "Standard"}}, 3.65),
        ("azure:network/publicIp:PublicIp", {"sku": "Basic", "allocationMethod": "Dynamic"}, 2.92),
        ("azure-native:network:NatGateway", {"sku": {"name": "Standard"}}, 32.85),
        (
            "azure-native:network:LoadBalancer",
            {"sku": {"name": "Standard"}, "loadBalancingRules": [{}, {}], "outboundRules": [{}]},
            21.9,  # 3 × 7.30
        ),
        ("azure:lb/rule:Rule", {}, 7.3),
        ("azure-native:containerregistry:Registry", {"sku": {"name": "Premium"}}, 1.6667 * 730 / 24),
        ("azure-native:containerregistry:Registry", {"sku": {"name": "Standard"}}, None),
        ("azure-native:storage:StorageAccount", {"sku": {"name": "Standard_LRS"}}, 0.0),
        ("azure-native:network:VirtualNetwork", {}, 0.0),
        ("azure-native:documentdb:DatabaseAccount", {}, None),
        ("azure-native:new:Thing", {}, None),
    ],
)
def test_what_is_known_of_others(kind: str, inputs: dict[str, Any], usd: float | None) -> None:
    cost = one(kind, inputs)
    assert cost.is_known == (usd is not None), [part.why_unknown for part in cost.parts]
    assert cost.usd_per_month == pytest.approx(usd or 0.0)
