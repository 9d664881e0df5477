"""What resources of AWS cost, each against a sum worked out by hand in its comment."""

from __future__ import annotations

from typing import Any

import pytest
from priced_programs import HOURS, UNKNOWN_TEXT, RoundPrices, costs, parts, state, urn

PRICES = RoundPrices(
    {
        ("t3.medium", "on_demand"): 0.04,
        ("m6i.large", "on_demand"): 0.1,
        ("m6i.large", "spot"): 0.03,
        ("m6a.large", "spot"): 0.02,
        ("m6a.large", "on_demand"): 0.09,
        ("p5.48xlarge", "on_demand"): 50.0,
        ("p5.48xlarge", "capacity_block"): 30.0,
    },
    {
        "block_gp3_storage": (0.08, "GB-month"),
        "block_gp2_storage": (0.1, "GB-month"),
        "block_io1_storage": (0.125, "GB-month"),
        "block_io1_iops": (0.065, "IOPS-month"),
        "block_gp3_iops_over_3000": (0.005, "IOPS-month"),
        "block_gp3_throughput_over_125": (0.04, "MBps-month"),
        "public_ipv4_in_use": (0.005, "hour"),
        "public_ipv4_idle": (0.005, "hour"),
        "k8s_control_plane_standard_support": (0.1, "cluster-hour"),
        "nat_gateway_hour": (0.045, "hour"),
        "nat_gateway_data": (0.045, "GB"),
        "lb_application_hour": (0.0225, "hour"),
        "lb_application_lcu": (0.008, "LCU-hour"),
        "lb_network_hour": (0.0225, "hour"),
        "lb_classic_hour": (0.025, "hour"),
        "fsx_lustre_scratch_ssd": (0.14, "GB-month"),
        "fsx_lustre_persistent_ssd_1000": (0.6, "GB-month"),
        "object_storage_standard_first_50tb": (0.023, "GB-month"),
        "efs_standard": (0.3, "GB-month"),
        "efs_provisioned_throughput": (6.0, "MBps-month"),
        "kms_key": (1.0, "key-month"),
        "vpc_endpoint_interface_hour": (0.01, "hour"),
    },
)
INSTANCE, TEMPLATE = "aws:ec2/instance:Instance", "aws:ec2/launchTemplate:LaunchTemplate"
GROUP, POOL, SUBNET = "aws:autoscaling/group:Group", "aws:eks/nodeGroup:NodeGroup", "aws:ec2/subnet:Subnet"
PRIVATE = state(SUBNET, "private", {"mapPublicIpOnLaunch": False})
PUBLIC = state(SUBNET, "public", {"mapPublicIpOnLaunch": True})


def one(kind: str, inputs: dict[str, Any], *others: Any, uses: Any = None) -> Any:
    return costs(PRICES, state(kind, "it", inputs, uses=uses), *others)["it"]


def test_an_instance_is_its_hours_its_disks_and_its_address() -> None:
    cost = one(
        INSTANCE,
        {
            "instanceType": "t3.medium",
            "rootBlockDevice": {"volumeSize": 50, "volumeType": "gp3", "iops": 4000, "throughput": 225},
            "ebsBlockDevices": [{"deviceName": "/dev/sdf", "volumeSize": 100, "volumeType": "io1", "iops": 1000}],
            "subnetId": UNKNOWN_TEXT,
        },
        PUBLIC,
        uses={"subnetId": [urn(SUBNET, "public")]},
    )
    assert parts(cost) == {
        "t3.medium": 29.2,  # 730 × 0.04
        "root disk, gp3": 4.0,  # 50 × 0.08
        "root disk, IOPS over 3,000": 5.0,  # 1,000 × 0.005
        "root disk, MB/s over 125": 4.0,  # 100 × 0.04
        "disk /dev/sdf, io1": 12.5,  # 100 × 0.125
        "disk /dev/sdf, IOPS": 65.0,  # 1,000 × 0.065
        "public IPv4 address": 3.65,  # 730 × 0.005
    }
    assert cost.is_known
    assert cost.usd_per_month == pytest.approx(123.35)


def test_what_the_preview_lacks_of_an_instance_is_assumed_and_said() -> None:
    cost = one(INSTANCE, {"instanceType": "t3.medium"})
    by_name = {part.name: part for part in cost.parts}
    assert by_name["root disk, gp3"].monthly_quantity == 8.0
    assert "Amazon Linux 2023" in by_name["root disk, gp3"].assumed[0]
    assert by_name["public IPv4 address"].assumed == ("subnets of the default VPC give one",)


def test_an_address_of_an_unknown_subnet_is_unknown_and_of_a_private_one_none() -> None:
    unknown = one(INSTANCE, {"instanceType": "t3.medium", "subnetId": "subnet-123"})
    assert not unknown.is_known
    assert parts(unknown)["public IPv4 address"] is None
    private = one(
        INSTANCE,
        {"instanceType": "t3.medium", "subnetId": UNKNOWN_TEXT},
        PRIVATE,
        uses={"subnetId": [urn(SUBNET, "private")]},
    )
    assert "public IPv4 address" not in parts(private)
    assert private.is_known


def test_an_elastic_address_takes_the_place_of_an_instances_own() -> None:
    eip = state("aws:ec2/eip:Eip", "ip", {"instance": UNKNOWN_TEXT}, uses={"instance": [urn(INSTANCE, "it")]})
    found = costs(PRICES, state(INSTANCE, "it", {"instanceType": "t3.medium"}), eip)
    assert "public IPv4 address" not in parts(found["it"])
    assert parts(found["ip"]) == {"public IPv4 address": 3.65}
    assert parts(one("aws:ec2/eip:Eip", {"domain": "vpc"})) == {"public IPv4 address, idle": 3.65}


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        ({"instanceType": UNKNOWN_TEXT}, "known after apply"),
        ({"instanceType": "[secret]"}, "[secret]"),
        ({}, "not in the preview"),
        ({"instanceType": "z9.huge"}, "no price of z9.huge in us-east-1"),
        ({"instanceType": "t3.medium", "tenancy": "dedicated"}, "dedicated tenancy"),
        ({"instanceType": "t3.medium", "instanceMarketOptions": {"marketType": "spot"}}, "t3.medium, spot"),
    ],
)
def test_a_machine_without_a_price_is_unknown_and_says_why(inputs: dict[str, Any], word: str) -> None:
    cost = one(INSTANCE, inputs)
    assert not cost.is_known
    assert word in cost.parts[0].why_unknown
    assert cost.parts[0].usd_per_month is None


def test_a_region_that_no_price_is_of_makes_all_unknown() -> None:
    cost = costs(PRICES, state(INSTANCE, "it", {"instanceType": "t3.medium"}), config={"aws:region": "eu-west-1"})["it"]
    assert cost.resource.region == "eu-west-1"
    assert cost.usd_per_month == 0.0
    assert not cost.is_known
    nowhere = costs(PRICES, state(INSTANCE, "it", {"instanceType": "t3.medium"}), config={})["it"]
    assert "its region is not in the preview" in nowhere.parts[0].why_unknown


def test_a_group_takes_machines_and_disks_of_its_template_and_says_its_ceiling() -> None:
    template = state(
        TEMPLATE,
        "lt",
        {
            "instanceType": "m6i.large",
            "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 30, "volumeType": "gp3"}}],
        },
    )
    cost = one(
        GROUP,
        {
            "launchTemplate": {"id": UNKNOWN_TEXT},
            "desiredCapacity": 2,
            "minSize": 1,
            "maxSize": 5,
            "vpcZoneIdentifiers": [UNKNOWN_TEXT],
        },
        template,
        PRIVATE,
        uses={"launchTemplate": [urn(TEMPLATE, "lt")], "vpcZoneIdentifiers": [urn(SUBNET, "private")]},
    )
    assert parts(cost) == {"m6i.large": 146.0, "root disk, gp3": 4.8}  # 2 × 730 × 0.1; 2 × 30 × 0.08
    assert (cost.count, cost.ceiling_count) == (2, 5)
    assert cost.ceiling_usd_per_month == pytest.approx(377.0)  # 5 × (73 + 2.4)


def test_a_mixed_group_splits_on_demand_and_spot_and_takes_the_dearest_type() -> None:
    cost = one(
        GROUP,
        {
            "desiredCapacity": 10,
            "maxSize": 10,
            "mixedInstancesPolicy": {
                "instancesDistribution": {"onDemandBaseCapacity": 2, "onDemandPercentageAboveBaseCapacity": 25},
                "launchTemplate": {"overrides": [{"instanceType": "m6i.large"}, {"instanceType": "m6a.large"}]},
            },
            "vpcZoneIdentifiers": [UNKNOWN_TEXT],
        },
        PRIVATE,
        uses={"vpcZoneIdentifiers": [urn(SUBNET, "private")]},
    )
    # 2 + 25% of 8 = 4 on demand, 6 spot: 4 × 730 × 0.1 = 292; 6 × 730 × 0.03 = 131.40
    assert parts(cost) == {"m6i.large": 292.0, "m6i.large, spot": 131.4}
    assert cost.parts[0].assumed == ("the dearest of its 2 machine types",)


def test_a_group_without_its_template_is_unknown() -> None:
    cost = one(GROUP, {"desiredCapacity": 3, "launchTemplate": {"id": "lt-0abc"}})
    assert not cost.is_known
    assert cost.count == 3
    assert "launch template is not in the preview" in cost.parts[0].why_unknown


def test_an_empty_group_costs_nothing_now_and_its_ceiling_something() -> None:
    template = state(TEMPLATE, "lt", {"instanceType": "p5.48xlarge"})
    cost = one(
        POOL,
        {
            "scalingConfig": {"desiredSize": 0, "minSize": 0, "maxSize": 2},
            "launchTemplate": {"id": UNKNOWN_TEXT},
            "subnetIds": [UNKNOWN_TEXT],
        },
        template,
        PRIVATE,
        uses={"launchTemplate": [urn(TEMPLATE, "lt")], "subnetIds": [urn(SUBNET, "private")]},
    )
    assert cost.usd_per_month == 0.0
    assert cost.is_known
    assert cost.ceiling_usd_per_month == pytest.approx(2 * (730 * 50 + 20 * 0.08))


def test_a_node_group_with_defaults_and_one_on_spot() -> None:
    scaling = {"desiredSize": 2, "minSize": 1, "maxSize": 4}
    private = {"subnetIds": [urn(SUBNET, "private")]}
    cost = one(POOL, {"scalingConfig": scaling, "subnetIds": [UNKNOWN_TEXT]}, PRIVATE, uses=private)
    assert parts(cost) == {"t3.medium": 58.4, "root disk, gp2": 4.0}  # 2 × 730 × 0.04; 2 × 20 × 0.1
    assert all(part.assumed for part in cost.parts)
    spot = one(
        POOL,
        {
            "scalingConfig": scaling,
            "capacityType": "SPOT",
            "instanceTypes": ["m6i.large", "m6a.large"],
            "diskSize": 100,
            "subnetIds": [UNKNOWN_TEXT],
        },
        PRIVATE,
        uses=private,
    )
    assert parts(spot) == {"m6i.large, spot": 43.8, "root disk, gp2": 20.0}  # 2 × 730 × 0.03; 2 × 100 × 0.1
    block = one(POOL, {"scalingConfig": scaling, "capacityType": "CAPACITY_BLOCK", "instanceTypes": ["p5.48xlarge"]})
    assert parts(block)["p5.48xlarge, capacity block"] == 2 * HOURS * 30


def test_number_of_nodes_that_is_known_after_apply() -> None:
    cost = one(POOL, {"scalingConfig": {"desiredSize": UNKNOWN_TEXT, "maxSize": 3}, "instanceTypes": ["m6i.large"]})
    assert cost.count is None
    assert "number of nodes is known after apply" in cost.parts[0].why_unknown
    assert not cost.is_known


def test_fleets_and_spot_requests() -> None:
    template = state(TEMPLATE, "lt", {"instanceType": "m6i.large"})
    fleet = one(
        "aws:ec2/fleet:Fleet",
        {
            "launchTemplateConfigs": [{"launchTemplateSpecification": {"launchTemplateId": UNKNOWN_TEXT}}],
            "targetCapacitySpecification": {
                "totalTargetCapacity": 4,
                "onDemandTargetCapacity": 1,
                "defaultTargetCapacityType": "spot",
            },
        },
        template,
        uses={"launchTemplateConfigs": [urn(TEMPLATE, "lt")]},
    )
    assert parts(fleet) == {
        "m6i.large": 73.0,  # 1 × 730 × 0.1
        "m6i.large, spot": 65.7,  # 3 × 730 × 0.03
        "root disk, gp3": 2.56,  # 4 × 8 × 0.08
    }
    request = one(
        "aws:ec2/spotFleetRequest:SpotFleetRequest",
        {"targetCapacity": 3, "launchSpecifications": [{"instanceType": "m6a.large"}]},
    )
    assert parts(request)["m6a.large, spot"] == 43.8  # 3 × 730 × 0.02
    single = one("aws:ec2/spotInstanceRequest:SpotInstanceRequest", {"instanceType": "m6a.large"})
    assert parts(single)["m6a.large, spot"] == 14.6


@pytest.mark.parametrize(
    ("kind", "inputs", "usd"),
    [
        ("aws:eks/cluster:Cluster", {}, 73.0),
        ("aws:ec2/natGateway:NatGateway", {}, 32.85),
        ("aws:ebs/volume:Volume", {"size": 100}, 10.0),  # gp2 by default
        ("aws:ebs/volume:Volume", {"size": 100, "type": "gp3"}, 8.0),
        # 730 × 0.0225 + 2 addresses × 3.65
        ("aws:lb/loadBalancer:LoadBalancer", {"subnets": [UNKNOWN_TEXT, UNKNOWN_TEXT]}, 23.725),
        ("aws:alb/loadBalancer:LoadBalancer", {"internal": True}, 16.425),
        ("aws:lb/loadBalancer:LoadBalancer", {"internal": True, "loadBalancerType": "network"}, 16.425),
        ("aws:elb/loadBalancer:LoadBalancer", {}, 18.25),
        ("aws:fsx/lustreFileSystem:LustreFileSystem", {"storageCapacity": 1200}, 168.0),
        (
            "aws:fsx/lustreFileSystem:LustreFileSystem",
            {"storageCapacity": 1200, "deploymentType": "PERSISTENT_2", "perUnitStorageThroughput": 1000},
            720.0,
        ),
        ("aws:efs/fileSystem:FileSystem", {"throughputMode": "provisioned", "provisionedThroughputInMibps": 10}, 60.0),
        ("aws:kms/key:Key", {}, 1.0),
        ("aws:ec2/vpcEndpoint:VpcEndpoint", {"vpcEndpointType": "Gateway"}, 0.0),
        (
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            {"vpcEndpointType": "Interface", "subnetIds": [UNKNOWN_TEXT, UNKNOWN_TEXT]},
            14.6,
        ),
        ("aws:s3/bucket:Bucket", {}, 0.0),
        ("aws:s3/bucketV2:BucketV2", {}, 0.0),
        ("aws:iam/role:Role", {}, 0.0),
        ("aws:ec2/vpc:Vpc", {}, 0.0),
    ],
)
def test_what_is_known_of_others(kind: str, inputs: dict[str, Any], usd: float) -> None:
    cost = one(kind, inputs)
    assert cost.is_known, [part.why_unknown for part in cost.parts]
    assert cost.usd_per_month == pytest.approx(usd)


@pytest.mark.parametrize(
    "kind",
    [
        "aws:rds/instance:Instance",
        "aws:elasticache/cluster:Cluster",
        "aws:opensearch/domain:Domain",
        "aws:new/thing:Thing",
        "aws:ec2/dedicatedHost:DedicatedHost",
        "datadog:index/monitor:Monitor",
        "aws:fsx/ontapFileSystem:OntapFileSystem",
    ],
)
def test_what_has_no_price_is_unknown_and_never_free(kind: str) -> None:
    cost = one(kind, {"storageCapacity": 1024})
    assert not cost.is_known
    assert not cost.is_free
    assert cost.why_unknown or any(part.why_unknown for part in cost.parts)


def test_what_is_billed_by_use_is_no_part_of_the_sum_and_has_its_unit_price() -> None:
    cost = one("aws:s3/bucket:Bucket", {})
    held = cost.parts[0]
    assert (held.usage_based, held.usd_per_unit, held.unit, held.usd_per_month) == (True, 0.023, "GB-month", None)
    function = one("aws:lambda/function:Function", {})
    assert function.is_known
    assert function.parts[0].usage_based
    assert function.parts[0].why_unknown
