"""What engines and providers say becomes one message with the way on."""

from __future__ import annotations

from pathlib import Path

import pytest

from clusterctl.errors import SpecError
from clusterctl.fleet.errors import (
    BucketHoldsData,
    FleetError,
    FleetStateError,
    LoginNeeded,
    NoCapacity,
    QuotaExceeded,
    StackLocked,
)
from clusterctl.fleet.explain import explain

LOCKED = """error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file
  file:///store/fleets/.pulumi/locks/organization/clusterctl/rl-1/2f.json: created by ann@laptop (pid 4711) at 2026-11-30T10:00:00Z"""


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        (
            "creating EKS Node Group: InsufficientInstanceCapacity: no p5.48xlarge in us-east-1a",
            NoCapacity,
            "next offer",
        ),
        ("Error 429: ZONE_RESOURCE_POOL_EXHAUSTED: the zone has not enough", NoCapacity, "next offer"),
        ('Code="AllocationFailed" Message="Allocation failed."', NoCapacity, "next offer"),
        ("VcpuLimitExceeded: You have requested more vCPU capacity than your limit of 192", QuotaExceeded, "doctor"),
        (
            "googleapi: Error 403: Insufficient regional quota to satisfy request: resource CPUS",
            QuotaExceeded,
            "doctor",
        ),
        ("ErrCode_InsufficientVCPUQuota: insufficient vcpu quota", QuotaExceeded, "doctor"),
        ("ExpiredToken: the security token included in the request is expired", LoginNeeded, "log in"),
        ("google: could not find default credentials", LoginNeeded, "log in"),
        ("building account: could not acquire access token: AADSTS700082", LoginNeeded, "log in"),
        ("deleting S3 Bucket (cctl-rl-1): BucketNotEmpty: The bucket is not empty", BucketHoldsData, "--with-data"),
        (
            "Error trying to delete bucket cctl-rl-1 containing objects without `force_destroy` set to true",
            BucketHoldsData,
            "--with-data",
        ),
        ("error: incorrect passphrase", FleetStateError, "PULUMI_CONFIG_PASSPHRASE_FILE"),
        (LOCKED, StackLocked, "2f.json"),
        ("InvalidParameterValue: nothing that we know", FleetError, "goes on from there"),
    ],
)
def test_a_failure_is_one_kind_with_the_way_on(text: str, kind: type[Exception], hint: str) -> None:
    error = explain(
        {"kind": "failed", "text": text}, run_id="rl-1", backend="file:///s", folder=Path("/s/fleets/work/rl-1")
    )
    assert type(error) is kind
    assert hint in (error.hint or "")


def test_the_failures_of_several_resources_are_said_by_the_worst() -> None:
    text = "Throttling: rate exceeded\nInsufficientInstanceCapacity: no p5\nExpiredToken: log in"
    error = explain({"kind": "failed", "text": text}, run_id="r", backend="", folder=Path("/s/fleets/work/r"))
    assert isinstance(error, LoginNeeded), "nothing else can be tried without them"


def test_a_lock_says_who_and_since_when() -> None:
    error = explain({"kind": "failed", "text": LOCKED}, run_id="rl-1", backend="", folder=Path("/s/fleets/work/r"))
    assert error.message == "ann@laptop has worked on this fleet since 2026-11-30T10:00:00Z (process 4711)"


def test_who_lacks_the_sdk_is_told_how_to_get_it() -> None:
    error = explain({"kind": "no_sdk", "text": "pulumi_aws"}, run_id="r", backend="", folder=Path("/s/fleets/work/r"))
    assert isinstance(error, SpecError)
    assert "pip install 'clusterctl[pulumi]'" in (error.hint or "")


@pytest.mark.parametrize("kind", ["state_lost", "unanswerable", "deadline"])
def test_what_needs_a_person_names_the_run_or_the_resource(kind: str) -> None:
    error = explain(
        {"kind": kind, "text": "aws:ec2/vpc:Vpc main"},
        run_id="rl-1",
        backend="s3://b",
        folder=Path("/s/fleets/work/rl-1"),
    )
    assert "rl-1" in error.message or "aws:ec2/vpc:Vpc main" in error.message
    assert error.hint
