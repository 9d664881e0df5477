"""AWS as moto serves it, through boto3."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from aws_things import REGION, client, make_bucket, make_fleet, specs, tags

from clusterctl.clouds import aws_details, cloud_of
from clusterctl.clouds.base import Cloud, CredentialsMissing, InUse
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from planners.plan.value import Plan, Pool

NO_TAGS_OF_BUDGETS = "budgets"


@pytest.fixture
def cloud(aws_cloud: Cloud) -> Cloud:
    return aws_cloud


def remove_all(cloud: Cloud, owner: str) -> list[str]:
    """As `sweep` does: in order, what is in use again later; returns the order."""
    order: list[str] = []
    for _ in range(4):
        if not (found := cloud.resources([REGION], owner)).resources:
            break
        for item in found.resources:
            try:
                cloud.remove(item)
                order.append(item.kind)
            except InUse:
                continue
    return order


def test_everything_of_one_owner_is_found_and_removed_in_order_and_nothing_of_another(cloud: Cloud) -> None:
    made = make_fleet("run-1", "me")
    make_fleet("run-2", "her")
    assert cloud.identity() == "123456789012"

    found = cloud.resources([REGION], "me")
    assert {item.owner for item in found.resources} == {"me"}
    assert {item.run_id for item in found.resources} == {"run-1"}
    kinds = [item.kind for item in found.resources]
    expected = ["nodegroup", "instance", "cluster", "natgateway", "file-system", "network-interface", "elastic-ip"]
    expected += ["volume", "launch-template", "security-group", "subnet", "route-table", "internet-gateway", "vpc"]
    expected += ["bucket", "log-group", "key", "role"]
    assert list(dict.fromkeys(kinds)) == [kind for kind in expected if kind in kinds]
    assert set(expected) - set(kinds) <= {"network-interface"}
    by_kind = {item.kind: item for item in found.resources}
    for kind, resource_id in made.items():
        assert by_kind[kind].id == resource_id
    assert by_kind["instance"].usd_per_hour == pytest.approx(55.04, rel=0.5)
    assert by_kind["instance"].note == "p5.48xlarge"
    assert by_kind["cluster"].usd_per_hour == 0.1
    assert by_kind["volume"].usd_per_hour == pytest.approx(100 * 0.08 / 730)
    assert by_kind["bucket"].holds_data
    assert by_kind["bucket"].usd_per_hour is None
    assert by_kind["vpc"].usd_per_hour == 0.0
    assert by_kind["instance"].since is not None
    assert (
        by_kind["natgateway"].command
        == f"aws ec2 delete-nat-gateway --nat-gateway-id {made['natgateway']} --region {REGION}"
    )

    remove_all(cloud, "me")
    assert [(item.kind, item.id) for item in cloud.resources([REGION], "me").resources] == []
    others = {item.kind for item in cloud.resources([REGION], None).resources}
    assert others == set(kinds)
    for item in found.resources:  # what is gone already
        cloud.remove(item)


def test_what_others_left_in_our_network_is_found(cloud: Cloud) -> None:
    made = make_fleet("run-1", "me")
    ec2 = client("ec2")
    card = ec2.create_network_interface(SubnetId=made["subnet"])["NetworkInterface"]["NetworkInterfaceId"]
    its = specs("security-group", tags("run-2", "her"))
    hers = ec2.create_security_group(GroupName="h", Description="x", VpcId=made["vpc"], TagSpecifications=its)[
        "GroupId"
    ]
    group = ec2.create_security_group(GroupName="eks-x", Description="x", VpcId=made["vpc"])["GroupId"]
    balancer = client("elbv2").create_load_balancer(Name="made-by-a-service", Subnets=[made["subnet"]])
    found = {item.id: item for item in cloud.resources([REGION], "me").resources}
    assert {found[card].run_id, found[group].run_id} == {"run-1"}
    assert hers not in found
    assert found[balancer["LoadBalancers"][0]["LoadBalancerArn"]].kind == "load-balancer"


def test_all_pages_are_read(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    ec2, logs, its = client("ec2"), client("logs"), tags("run-1", "me")
    monkeypatch.setattr(aws_details, "MOST_IDS", 2)
    for number in range(51):  # moto's pages hold 50
        logs.create_log_group(logGroupName=f"group-{number}", tags=its)
    for _ in range(3):
        ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=1, TagSpecifications=specs("volume", its))
    kinds = [item.kind for item in cloud.resources([REGION], "me").resources]
    assert (kinds.count("volume"), kinds.count("log-group")) == (3, 51)


def test_what_has_ended_is_not_left_over(cloud: Cloud) -> None:
    made = make_fleet("run-1", "me")
    client("ec2").terminate_instances(InstanceIds=[made["instance"]])
    client("kms").schedule_key_deletion(KeyId=made["key"])
    kinds = {item.kind for item in cloud.resources([REGION], "me").resources}
    assert not kinds & {"instance", "key"}


def test_regions_of_an_account_are_all_asked_and_one_that_is_off_is_named(cloud: Cloud) -> None:
    make_bucket("run-1-far", tags("run-1", "me"), "eu-central-1")
    found = cloud.resources(["eu-central-1", "xx-nowhere-1"], "me")
    assert [(item.id, item.region) for item in found.resources] == [("run-1-far", "eu-central-1")]
    assert found.asked == ("eu-central-1",)
    assert [(place.place, place.reason) for place in found.not_asked if place.place != NO_TAGS_OF_BUDGETS] == [
        ("xx-nowhere-1", "not enabled in this account")
    ]


@pytest.mark.usefixtures("aws")
def test_without_credentials_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(CredentialsMissing) as caught:
        cloud_of("aws").identity()
    assert "aws sso login" in str(caught.value.hint)


POOL = FleetPool(pool_id="p", name="gpu", group="gpu", most_nodes=4, instance_type="p5.48xlarge", capacity_type="spot")
FLEET = FleetOutputs(
    cloud="aws",
    region=REGION,
    cluster="run-1",
    endpoint="https://x",
    namespace="clusterctl",
    service_account="clusterctl-jobs",
    pools=(POOL,),
)


def test_machines_of_a_fleet_are_shown_from_launch_to_end(cloud: Cloud) -> None:
    made = make_fleet("run-1", "me")
    (live,) = cloud.instances(FLEET)
    assert (live.id, live.pool, live.until, live.ready) == (made["instance"], "gpu", None, True)
    assert abs(live.since - datetime.now(tz=UTC)) < timedelta(minutes=1)
    assert live.zone.startswith(REGION)
    assert live.address.endswith(".internal")
    client("ec2").terminate_instances(InstanceIds=[made["instance"]])
    (ended,) = cloud.instances(FLEET)
    assert ended.until is not None
    assert timedelta(0) <= ended.until - ended.since + timedelta(seconds=1) < timedelta(minutes=1)
    assert "Client.UserInitiatedShutdown" in ended.message


def test_a_pool_is_resized_once(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fleet("run-1", "me")
    eks = client("eks")

    def sizes() -> dict[str, int]:
        return dict(eks.describe_nodegroup(clusterName="run-1", nodegroupName="gpu")["nodegroup"]["scalingConfig"])

    cloud.resize(FLEET, POOL, 3)
    cloud.resize(FLEET, POOL, 3)
    assert sizes() == {"minSize": 0, "maxSize": 4, "desiredSize": 3}
    cloud.resize(FLEET, POOL, 0)
    assert sizes() == {"minSize": 0, "maxSize": 4, "desiredSize": 0}
    assert cloud.pool_problem(FLEET, POOL) == ""


@pytest.mark.parametrize(
    "message",
    [
        "Launching a new EC2 instance. Status Reason: We currently do not have sufficient p5.48xlarge capacity in zones"
        " with support for 'gp3' volumes. Launching EC2 instance failed. (InsufficientInstanceCapacity)",
        "You have requested more vCPU capacity than your current vCPU limit of 0 allows (VcpuLimitExceeded)",
    ],
)
def test_why_a_pool_lacks_machines(cloud: Cloud, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.autoscaling.responses import AutoScalingResponse
    from moto.core.responses import ActionResult
    from moto.eks.models import Nodegroup

    make_fleet("run-1", "me")
    group = {"autoScalingGroups": [{"name": "eks-gpu"}]}
    monkeypatch.setattr(Nodegroup, "resources", group, raising=False)
    answer = {
        "Activities": [
            {
                "StatusCode": "Failed",
                "StatusMessage": message,
                "ActivityId": "a",
                "AutoScalingGroupName": "eks-gpu",
                "StartTime": datetime.now(tz=UTC),
                "Cause": "x",
            }
        ]
    }
    monkeypatch.setattr(
        AutoScalingResponse, "describe_scaling_activities", lambda _: ActionResult(answer), raising=False
    )
    assert cloud.pool_problem(FLEET, POOL).endswith(message)


def plan_with(*pools: tuple[str, str, str, int]) -> Plan:
    """pools: stage, instance type, capacity type, nodes."""
    return Plan.model_construct(
        pools=tuple(
            Pool(
                id=f"{stage}-{number}",
                stage=stage,
                role="trainer",
                cloud="aws",
                region=REGION,
                instance_type=instance_type,
                capacity_type=capacity_type,
                nodes=nodes,
                usd_per_node_hour=None,
                price_as_of=None,
                price_source="",
                hours=1,
                usd=None,
            )
            for number, (stage, instance_type, capacity_type, nodes) in enumerate(pools)
        )
    )


def test_quotas_count_what_runs_and_what_the_largest_stage_asks_for(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.servicequotas.exceptions import NoSuchResource
    from moto.servicequotas.models import ServiceQuotasBackend
    from moto.servicequotas.responses import ServiceQuotasResponse

    def limit(_: object, service_code: str, quota_code: str) -> dict[str, object]:
        known = {"L-417A185B": 400.0, "L-1216C47A": 64.0, "L-7212CCBC": 0.0, "L-F678F1CE": 5.0}
        if quota_code not in known:
            raise NoSuchResource
        return {"ServiceCode": service_code, "QuotaCode": quota_code, "Value": known[quota_code]}

    monkeypatch.setattr(ServiceQuotasBackend, "get_service_quota", limit)
    monkeypatch.setattr(
        ServiceQuotasResponse, "get_aws_default_service_quota", ServiceQuotasResponse.get_service_quota, raising=False
    )
    make_fleet("other", "somebody")
    asked = plan_with(
        ("sft", "p5.48xlarge", "on_demand", 1),
        ("rl", "p5.48xlarge", "on_demand", 2),
        ("rl", "c6i.12xlarge", "on_demand", 1),
        ("rl", "p4d.24xlarge", "spot", 1),
        ("rl", "p5.48xlarge", "capacity_block", 9),
    )
    found = {quota.code: quota for quota in cloud.quotas(asked)}
    gpus = found["L-417A185B"]
    assert (gpus.limit, gpus.used, gpus.asked, gpus.is_short) == (400, 192, 384, True)
    assert gpus.request == (
        "aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-417A185B --desired-value 576 --region us-east-1"
    )
    assert (found["L-1216C47A"].asked, found["L-1216C47A"].is_short) == (50, False)
    assert (found["L-7212CCBC"].asked, found["L-7212CCBC"].is_short) == (96, True)
    assert (found["L-0263D0A3"].limit, found["L-0263D0A3"].is_short) == (None, False)
    assert found["L-F678F1CE"].used == 2


def test_a_service_that_may_not_be_asked_is_named_and_the_rest_is_found(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.eks.exceptions import EKSError
    from moto.eks.models import EKSBackend

    class DeniedError(EKSError):
        TYPE, STATUS = "AccessDeniedException", 403

    def refuse(*_: object, **__: object) -> None:
        raise DeniedError(message="not authorized to perform: eks:ListClusters")

    make_fleet("run-1", "me")
    monkeypatch.setattr(EKSBackend, "list_clusters", refuse)
    found = cloud.resources([REGION], "me")
    (place,) = [place for place in found.not_asked if place.place != NO_TAGS_OF_BUDGETS]
    assert place.place == f"eks in {REGION}"
    assert "eks:ListClusters" in place.reason
    assert {"instance", "vpc", "bucket"} <= {item.kind for item in found.resources}


def test_throttled_calls_are_made_again(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    from moto.core.exceptions import ServiceException
    from moto.ec2.responses.tags import TagResponse

    class ThrottledError(ServiceException):
        code = "RequestLimitExceeded"

        def __init__(self) -> None:
            super().__init__("Request limit exceeded.")

    calls, real = [], TagResponse.describe_tags
    monkeypatch.setattr(time, "sleep", lambda _: None)

    def sometimes(self: TagResponse) -> object:
        calls.append(1)
        if len(calls) <= 2:
            raise ThrottledError
        return real(self)

    make_fleet("run-1", "me")
    monkeypatch.setattr(TagResponse, "describe_tags", sometimes)
    found = cloud.resources([REGION], "me")
    assert len(calls) == 3
    assert "instance" in {item.kind for item in found.resources}
