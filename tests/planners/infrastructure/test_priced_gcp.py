"""What resources of Google Cloud cost, each against a sum worked out by hand in its comment."""

from __future__ import annotations

from typing import Any

import pytest
from priced_programs import CONFIG, UNKNOWN_TEXT, RoundPrices, costs, parts, state, urn

PRICES = RoundPrices(
    {
        ("e2-medium", "on_demand"): 0.03,
        ("n1-standard-4", "on_demand"): 0.2,
        ("n1-standard-4", "spot"): 0.05,
        ("a3-highgpu-8g", "on_demand"): 88.0,
    },
    {
        "block_pd_standard": (0.04, "GB-month"),
        "block_pd_balanced": (0.1, "GB-month"),
        "block_pd_ssd": (0.17, "GB-month"),
        "block_pd_ssd_regional": (0.34, "GB-month"),
        "block_hyperdisk_balanced_storage": (0.08, "GB-month"),
        "block_hyperdisk_balanced_iops_over_3000": (0.005, "IOPS-month"),
        "local_ssd": (0.08, "GB-month"),
        "accelerator_t4": (0.35, "GPU-hour"),
        "public_ipv4_in_use_vm": (0.005, "hour"),
        "public_ipv4_unused": (0.01, "hour"),
        "k8s_control_plane": (0.1, "cluster-hour"),
        "gke_autopilot_vcpu": (0.0445, "vCPU-hour"),
        "nat_gateway_hour_max_32plus_vms": (0.0448, "hour"),
        "filestore_zonal": (0.25, "GiB-month"),
        "lb_forwarding_rule_hour": (0.01, "hour"),
    },
)
CLUSTER, POOL = "gcp:container/cluster:Cluster", "gcp:container/nodePool:NodePool"
INSTANCE = "gcp:compute/instance:Instance"
REGIONAL = {"gcp:region": "us-central1"}


def one(kind: str, inputs: dict[str, Any], *others: Any, uses: Any = None, config: Any = None) -> Any:
    return costs(PRICES, state(kind, "it", inputs, uses=uses), *others, config=config)["it"]


def test_an_instance_with_gpus_disks_and_an_address() -> None:
    cost = one(
        INSTANCE,
        {
            "machineType": "n1-standard-4",
            "zone": "us-central1-b",
            "bootDisk": {"initializeParams": {"size": 50, "type": "pd-ssd"}},
            "scratchDisks": [{"interface": "NVME"}, {"interface": "NVME"}],
            "guestAccelerators": [{"type": "nvidia-tesla-t4", "count": 2}],
            "networkInterfaces": [{"network": "default", "accessConfigs": [{}]}],
        },
    )
    assert parts(cost) == {
        "n1-standard-4": 146.0,  # 730 × 0.2
        "GPU nvidia-tesla-t4": 511.0,  # 2 × 730 × 0.35
        "boot disk, pd-ssd": 8.5,  # 50 × 0.17
        "local SSD": 60.0,  # 2 × 375 × 0.08
        "external IPv4 address": 3.65,
    }


def test_a_preemptible_instance_is_priced_as_spot_and_its_gpus_are_unknown() -> None:
    for scheduling in ({"provisioningModel": "SPOT"}, {"preemptible": True}):
        gpus = [{"type": "nvidia-tesla-t4", "count": 1}]
        cost = one(INSTANCE, {"machineType": "n1-standard-4", "scheduling": scheduling, "guestAccelerators": gpus})
        assert parts(cost)["n1-standard-4, spot"] == 36.5  # 730 × 0.05
        assert parts(cost)["GPU nvidia-tesla-t4, spot"] is None
        assert not cost.is_known


def test_a_stopped_machine_pays_for_its_disk_alone() -> None:
    cost = one(INSTANCE, {"machineType": "e2-medium", "desiredStatus": "TERMINATED"})
    assert parts(cost) == {"boot disk, pd-standard": 0.4}


@pytest.mark.parametrize("image", ["windows-cloud/windows-2022", "rhel-cloud/rhel-9", "suse-cloud/sles-15"])
def test_an_image_with_a_licence_is_not_known_whole(image: str) -> None:
    boot = {"initializeParams": {"image": image}}
    cost = one(INSTANCE, {"machineType": "e2-medium", "bootDisk": boot})
    assert not cost.is_known
    assert cost.usd_per_month == pytest.approx(21.9 + 0.4)


def test_default_pools() -> None:
    removed = one(CLUSTER, {"removeDefaultNodePool": True, "initialNodeCount": 1})
    assert parts(removed) == {"control plane": 73.0}
    # a region: 1 node × 3 zones × (730 × 0.03 + 100 × 0.1)
    regional = one(CLUSTER, {"location": "us-central1", "initialNodeCount": 1})
    assert parts(regional) == {"control plane": 73.0, "e2-medium": 65.7, "boot disk, pd-balanced": 30.0}
    assert regional.count == 3
    zonal = one(CLUSTER, {"location": "us-central1-a", "initialNodeCount": 2, "nodeConfig": {"diskType": "pd-ssd"}})
    assert parts(zonal) == {"control plane": 73.0, "e2-medium": 43.8, "boot disk, pd-ssd": 34.0}
    further = one(CLUSTER, {"location": "us-central1-a", "nodeLocations": ["us-central1-b"], "initialNodeCount": 1})
    assert further.count == 2
    unknown = one(CLUSTER, {"removeDefaultNodePool": UNKNOWN_TEXT, "initialNodeCount": 1})
    assert not unknown.is_known


def test_an_autopilot_cluster_is_its_fee_and_pods_by_use() -> None:
    cost = one(CLUSTER, {"enableAutopilot": True, "location": "us-central1"})
    assert cost.usd_per_month == 73.0
    assert cost.is_known
    assert next(part.usd_per_unit for part in cost.parts if part.usage_based) == 0.0445


def test_a_node_pool_has_its_clusters_zones() -> None:
    cluster = state(CLUSTER, "c", {"location": "us-central1", "removeDefaultNodePool": True})
    uses = {"cluster": [urn(CLUSTER, "c")]}
    inputs = {"cluster": UNKNOWN_TEXT, "nodeConfig": {"machineType": "e2-medium", "diskSizeGb": 50}}
    cost = one(POOL, {**inputs, "nodeCount": 2}, cluster, uses=uses)
    assert parts(cost) == {"e2-medium": 131.4, "boot disk, pd-balanced": 30.0}  # 6 × 730 × 0.03; 6 × 50 × 0.1
    own = one(POOL, {**inputs, "nodeCount": 2, "nodeLocations": ["us-central1-a", "us-central1-b"]}, cluster, uses=uses)
    assert own.count == 4
    scaled = one(
        POOL,
        {**inputs, "autoscaling": {"minNodeCount": 1, "maxNodeCount": 4}, "initialNodeCount": 1},
        cluster,
        uses=uses,
    )
    assert (scaled.count, scaled.ceiling_count) == (3, 12)
    assert scaled.ceiling_usd_per_month == pytest.approx(12 * (730 * 0.03 + 5.0))
    total = one(POOL, {**inputs, "autoscaling": {"totalMinNodeCount": 2, "totalMaxNodeCount": 5}}, cluster, uses=uses)
    assert (total.count, total.ceiling_count) == (2, 5)


def test_a_pool_whose_place_is_unknown_has_an_unknown_number_of_nodes() -> None:
    cost = one(POOL, {"nodeCount": 2, "nodeConfig": {"machineType": "e2-medium"}}, config=REGIONAL)
    assert cost.count is None
    assert not cost.is_known
    zonal = one(POOL, {"nodeCount": 2, "nodeConfig": {"machineType": "e2-medium"}}, config=CONFIG)
    assert zonal.count == 2


def test_a_spot_pool_and_one_of_flex_start() -> None:
    spot = one(
        POOL,
        {"location": "us-central1-a", "nodeCount": 1, "nodeConfig": {"machineType": "n1-standard-4", "spot": True}},
    )
    assert parts(spot)["n1-standard-4, spot"] == 36.5
    flex = one(
        POOL,
        {
            "location": "us-central1-a",
            "nodeCount": 1,
            "nodeConfig": {"machineType": "a3-highgpu-8g", "flexStart": True},
        },
    )
    assert "flex-start" in flex.parts[0].why_unknown


def test_a_managed_group_takes_its_template_and_its_autoscaler() -> None:
    template, group = (
        "gcp:compute/instanceTemplate:InstanceTemplate",
        "gcp:compute/instanceGroupManager:InstanceGroupManager",
    )
    scaler = "gcp:compute/autoscaler:Autoscaler"
    cost = one(
        group,
        {"zone": "us-central1-a", "versions": [{"instanceTemplate": UNKNOWN_TEXT}]},
        state(
            template,
            "t",
            {"machineType": "e2-medium", "disks": [{"boot": True, "diskSizeGb": 20, "diskType": "pd-balanced"}]},
        ),
        state(
            scaler,
            "s",
            {"target": UNKNOWN_TEXT, "autoscalingPolicy": {"minReplicas": 2, "maxReplicas": 6}},
            uses={"target": [urn(group, "it")]},
        ),
        uses={"versions": [urn(template, "t")]},
    )
    assert parts(cost) == {"e2-medium": 43.8, "boot disk, pd-balanced": 4.0}  # 2 × 730 × 0.03; 2 × 20 × 0.1
    assert (cost.count, cost.ceiling_count) == (2, 6)


def test_addresses_in_use_not_in_use_and_of_a_load_balancer() -> None:
    address = "gcp:compute/address:Address"
    unused = one(address, {})
    assert parts(unused) == {"external IPv4 address, not in use": 7.3}
    used = one(
        address,
        {},
        state(
            INSTANCE,
            "i",
            {"networkInterfaces": [{"accessConfigs": [{"natIp": UNKNOWN_TEXT}]}]},
            uses={"networkInterfaces": [urn(address, "it")]},
        ),
    )
    assert parts(used) == {"external IPv4 address": 3.65}
    assert one(address, {"addressType": "INTERNAL"}).is_free
    rule = "gcp:compute/forwardingRule:ForwardingRule"
    assert one(address, {}, state(rule, "r", {}, uses={"ipAddress": [urn(address, "it")]})).is_free


@pytest.mark.parametrize(
    ("kind", "inputs", "usd"),
    [
        ("gcp:compute/disk:Disk", {"size": 100}, 4.0),
        ("gcp:compute/disk:Disk", {"size": 100, "type": "hyperdisk-balanced", "provisionedIops": 5000}, 18.0),
        ("gcp:compute/regionDisk:RegionDisk", {"size": 100, "type": "pd-ssd", "region": "us-central1"}, 34.0),
        ("gcp:compute/routerNat:RouterNat", {"region": "us-central1"}, 32.704),
        ("gcp:filestore/instance:Instance", {"tier": "ZONAL", "fileShares": {"capacityGb": 1024}}, 256.0),
        ("gcp:compute/forwardingRule:ForwardingRule", {}, 7.3),
        ("gcp:projects/iAMMember:IAMMember", {}, 0.0),
        ("gcp:storage/bucketIAMMember:BucketIAMMember", {}, 0.0),
        ("gcp:storage/bucket:Bucket", {"location": "US"}, 0.0),
    ],
)
def test_what_is_known_of_others(kind: str, inputs: dict[str, Any], usd: float) -> None:
    cost = one(kind, inputs)
    assert cost.is_known, [part.why_unknown for part in cost.parts]
    assert cost.usd_per_month == pytest.approx(usd)


@pytest.mark.parametrize(
    "kind",
    [
        "gcp:sql/databaseInstance:DatabaseInstance",
        "gcp:redis/instance:Instance",
        "gcp:tpu/v2Vm:V2Vm",
        "gcp:new/thing:Thing",
        "gcp:filestore/instance:Instance",
    ],
)
def test_what_has_no_price_is_unknown(kind: str) -> None:
    assert not one(kind, {"tier": "BASIC_SSD"}).is_known
