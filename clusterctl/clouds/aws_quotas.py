"""What an AWS account may have of what a plan asks for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from clusterctl.clouds.asked import most_at_once
from clusterctl.clouds.aws_session import AwsSession, is_gone
from clusterctl.clouds.base import CloudError, Quota
from clusterctl.clouds.prices import vcpus_of
from planners.plan.value import Plan, Pool

STANDARD = "acdhimrtz"
"""First letters of the types that AWS counts together."""
CODES = {
    ("standard", False): ("L-1216C47A", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"),
    ("standard", True): ("L-34B43A08", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"),
    ("g", False): ("L-DB2E81BA", "Running On-Demand G and VT instances"),
    ("g", True): ("L-3819A6DF", "All G and VT Spot Instance Requests"),
    ("p", False): ("L-417A185B", "Running On-Demand P instances"),
    ("p", True): ("L-7212CCBC", "All P Spot Instance Requests"),
    ("p5", True): ("L-C4BD4855", "All P5 Spot Instance Requests"),
}
"""Kind of machine, is it spot → AWS's code and name: https://docs.aws.amazon.com/general/latest/gr/ec2-service.html"""
PER_FLEET = {"L-F678F1CE": ("vpc", "VPCs per Region"), "L-0263D0A3": ("ec2", "EC2-VPC Elastic IPs")}
"""A fleet makes one of each; a new account may have five."""
SYSTEM_VCPUS = 2.0
"""Of the small node for what no pool of the plan runs (infra/aws/eks.py)."""
Key = tuple[str, str, bool]
"""Region, kind of machine, is it spot."""


def quotas(session: AwsSession, plan: Plan) -> Iterator[Quota]:
    """What the plan's pools count against, with what runs already."""
    asked = dict(most_at_once(plan, "aws", _key, _vcpus))
    for region in sorted({pool.region for pool in plan.pools if pool.cloud == "aws"}):
        standard = (region, "standard", False)
        asked[standard] = asked.get(standard, 0.0) + SYSTEM_VCPUS
        used = _used(session, region)
        for (where, kind, spot), vcpus in sorted(asked.items()):
            if where == region:
                code, name = CODES[kind, spot]
                yield _quota(
                    session, "ec2", code, name=name, region=region, used=used.get((kind, spot), 0.0), asked=vcpus
                )
        yield from _per_fleet(session, region)


def kind_of(instance_type: str, *, spot: bool) -> str | None:
    """Which machines AWS counts together with this one; None where this file has no code for them."""
    family = instance_type.partition(".")[0]
    if spot and family.startswith("p5"):
        return "p5"
    letter = "standard" if family[:1] in STANDARD and not family.startswith(("dl", "hpc", "inf", "trn")) else family[:1]
    letter = "g" if family.startswith("vt") else letter
    return letter if (letter, spot) in CODES else None


def _key(pool: Pool) -> Key | None:
    """Blocks of capacity count against nothing here: they are bought before."""
    spot = pool.capacity_type == "spot"
    kind = None if pool.capacity_type == "capacity_block" else kind_of(pool.instance_type, spot=spot)
    return None if kind is None else (pool.region, kind, spot)


def _vcpus(pool: Pool) -> float:
    return pool.nodes * (vcpus_of("aws", pool.instance_type) or 0.0)


def _used(session: AwsSession, region: str) -> dict[tuple[str, bool], float]:
    """vCPUs of what runs now, of everybody in the account."""
    used: dict[tuple[str, bool], float] = defaultdict(float)
    wanted = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    for group in session.pages("ec2", region, "describe_instances", "Reservations", Filters=wanted):
        for row in group["Instances"]:
            spot = row.get("InstanceLifecycle") == "spot"
            kind = kind_of(row["InstanceType"], spot=spot)
            cores = row.get("CpuOptions") or {}
            if kind is not None:
                vcpus = cores.get("CoreCount", 0) * cores.get("ThreadsPerCore", 1)
                used[kind, spot] += vcpus or vcpus_of("aws", row["InstanceType"]) or 0.0
    return used


def _limit(session: AwsSession, region: str, service: str, code: str) -> float | None:
    """What the account has been given, else what AWS gives to all; None where it knows no such quota."""
    client = session.client("service-quotas", region)
    for act in (client.get_service_quota, client.get_aws_default_service_quota):
        try:
            return float(session.call(act, ServiceCode=service, QuotaCode=code)["Quota"]["Value"])
        except CloudError as error:
            if not is_gone(error):
                raise
    return None


def _per_fleet(session: AwsSession, region: str) -> Iterator[Quota]:
    client = session.client("ec2", region)
    used = {
        "L-F678F1CE": sum(1 for _ in session.pages("ec2", region, "describe_vpcs", "Vpcs")),
        "L-0263D0A3": len(session.call(client.describe_addresses)["Addresses"]),
    }
    for code, (service, name) in PER_FLEET.items():
        yield _quota(session, service, code, name=name, region=region, used=used[code], asked=1.0)


def _quota(session: AwsSession, service: str, code: str, *, name: str, region: str, used: float, asked: float) -> Quota:
    request = (
        f"aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code}"
        f" --desired-value {used + asked:g} --region {region}"
    )
    return Quota(
        cloud="aws",
        name=name,
        region=region,
        limit=_limit(session, region, service, code),
        used=used,
        asked=asked,
        unit="" if code in PER_FLEET else "vCPU",
        code=code,
        request=request,
    )
