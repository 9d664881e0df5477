"""`clusterctl sweep` in an account of AWS that is moto."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aws_things import REGION, client, make_bucket, specs, tags

from clusterctl.clouds import leftovers
from clusterctl.clouds.aws import Aws
from clusterctl.clouds.base import CloudError, CloudResource, Found, InUse, NotAllowed, NotAsked
from clusterctl.clouds.leftovers import CloudAccount, Rules, clear, judge

SPEC = """
name: rlcef
stages:
  - {kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {mean: 2000}}
fleet: {targets: [aws], gpus: [H100], capacity: [on_demand]}
"""
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture
def account(aws: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """One region; this ledger is `me`."""
    monkeypatch.setattr(Aws, "regions", lambda _: [REGION])
    monkeypatch.setattr(leftovers, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("CLUSTERCTL_OWNER", "me")
    return aws


@pytest.fixture
def sweep(in_process: Any, account: str) -> Any:
    """The command with the account's settings."""

    def run(*words: str) -> Any:
        names = [name for name in os.environ if name.startswith("AWS_")]
        return in_process(*words, **{name: os.environ[name] for name in (*names, "CLUSTERCTL_OWNER", "no_proxy")})

    return run


def make(owner: str, run: str = "lost-123456") -> tuple[str, str]:
    """A machine and a network that hold on to each other: ids of both."""
    its, ec2 = tags(run, owner), client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.64.0.0/16", TagSpecifications=specs("vpc", its))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.64.0.0/20", TagSpecifications=specs("subnet", its))["Subnet"]
    made = ec2.run_instances(
        ImageId="ami-12345678",
        InstanceType="p5.48xlarge",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet["SubnetId"],
        TagSpecifications=specs("instance", its),
    )
    return made["Instances"][0]["InstanceId"], vpc


def ids() -> set[str]:
    found = client("ec2").describe_tags(Filters=[{"Name": "resource-type", "Values": ["instance"]}])["Tags"]
    live = [
        row["InstanceId"]
        for group in client("ec2").describe_instances()["Reservations"]
        for row in group["Instances"]
        if row["State"]["Name"] == "running"
    ]
    return {row["ResourceId"] for row in found} & set(live)


def test_what_is_found_is_shown_with_age_dollars_and_commands_and_asked_for(sweep: Any) -> None:
    machine, vpc = make("me")
    refused = sweep("sweep")
    assert (refused.returncode, "cannot ask: stdin is not a terminal" in refused.stderr) == (2, True)
    for words in (machine, vpc, "lost-123456", f"aws {REGION}", "$1,320", "by hand, in this order:"):
        assert words in refused.stdout, refused.stdout
    assert refused.stdout.index("terminate-instances") < refused.stdout.index("delete-vpc")
    assert "asked: aws, 123456789012, 1 region\n" in refused.stderr
    assert "not asked: gcp: no credentials are found here: `gcloud auth application-default login`" in refused.stderr


def test_it_removes_what_is_ours_alone_and_writes_a_report(sweep: Any, tmp_path: Path) -> None:
    (mine, _), (hers, _) = make("me"), make("her")
    file = tmp_path / "report.json"
    swept = sweep("sweep", "--yes", "--all-owners", "--report", str(file))
    assert (swept.returncode, "removed 3 of 3" in swept.stdout) == (0, True), swept.stdout + swept.stderr
    assert "belongs to her" in swept.stdout
    assert ids() == {hers}
    report = json.loads(file.read_text())
    assert report["asked"] == [{"cloud": "aws", "account": "123456789012", "regions": [REGION]}]
    outcomes = {row["address"]: row["outcome"] for row in report["in_clouds"]}
    assert (outcomes[mine], outcomes[hers], report["left"]) == ("removed", "found", [])
    assert sweep("sweep", "--cloud", "aws").stdout == "nothing is left over\n"


def test_what_is_young_or_holds_data_is_left_unless_asked_for(sweep: Any) -> None:
    machine, _ = make("me")
    make_bucket("results", tags("lost-123456", "me"))
    assert "nothing" not in sweep("sweep", "--older-than", "2h", "--yes").stdout
    assert ids() == {machine}
    shown = json.loads(sweep("sweep", "--older-than", "2h", "--yes", "--json").stdout)
    assert {row["kept"] for row in shown} == {"too young", "holds data: --with-data removes it"}
    assert sweep("sweep", "--yes").returncode == 0
    assert [row["Name"] for row in client("s3").list_buckets()["Buckets"]] == ["results"]
    assert sweep("sweep", "--yes", "--with-data").returncode == 0
    assert client("s3").list_buckets()["Buckets"] == []


def test_a_cloud_that_is_named_and_unknown_or_without_credentials(sweep: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sweep("sweep", "--cloud", "ibm").returncode == 2
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert sweep("sweep").stderr == ""
    swept = sweep("sweep", "--cloud", "aws", "--yes")
    assert (swept.returncode, "nobody knows what is left in aws" in swept.stderr) == (8, True)
    assert "aws sso login" in swept.stderr


class FakeCloud:
    """Things that hold each other, some for ever; what it answers is what is there."""

    name = "aws"

    def __init__(self, holds: Mapping[str, str], refuses: Mapping[str, Exception] = {}) -> None:
        self.there = {name: thing(name) for name in [*holds, *holds.values()] if name}
        self.holds, self.refuses, self.removed = holds, refuses, list[str]()
        self.blind = False

    def resources(self, regions: object, owner: object) -> Found:
        not_asked = (NotAsked(cloud="aws", place="eks", reason="down"),) if self.blind else ()
        return Found(resources=tuple(self.there.values()), not_asked=not_asked)

    def remove(self, item: CloudResource) -> None:
        if error := self.refuses.get(item.id):
            raise error
        if self.holds.get(item.id, "") in self.there:
            raise InUse(f"{item.id} is held")
        self.removed.append(item.id)
        self.there.pop(item.id, None)


def thing(name: str, **changes: Any) -> CloudResource:
    made = CloudResource(
        cloud="aws", kind="vpc", id=name, name="", region=REGION, run_id="r1", owner="me", command=f"aws rm {name}"
    )
    return replace(made, **changes)


def cleared(cloud: FakeCloud, tell: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    account = CloudAccount(cloud=cloud, name="1", resources=(), not_asked=(), regions=())  # type: ignore[arg-type]
    left = clear(account, list(cloud.there.values()), tell=tell, sleep=lambda _: None)
    return {key[3]: why for key, why in left.items()}


def test_what_is_held_goes_after_what_holds_it() -> None:
    cloud = FakeCloud({"vpc": "subnet", "subnet": "machine", "machine": ""})
    told: list[str] = []
    assert cleared(cloud, told.append) == {}
    assert cloud.removed == ["machine", "subnet", "vpc"]
    assert told[0] == "aws: 1 of 3 are gone, waiting for the others"


def test_what_is_refused_is_left_with_the_clouds_word() -> None:
    refuses = {"a": NotAllowed("may not"), "b": CloudError("odd")}
    assert cleared(FakeCloud({"a": "", "b": "", "c": ""}, refuses)) == {"a": "may not", "b": "odd"}


def test_judging() -> None:
    rules = Rules(owner="me", live_runs={"live"}, ended_at={"ended": NOW - timedelta(days=1)}, older_than_seconds=7200)
    old, new = NOW - timedelta(hours=3), NOW - timedelta(hours=1)
    items = {
        "live": thing("1", run_id="live"),
        "hers": thing("2", owner="her", run_id="live"),
        "old": thing("3", run_id="old", since=old),
        "of an old fleet": thing("4", run_id="old"),
        "beside a new one": thing("5", run_id="new"),
        "new": thing("6", run_id="new", since=new),
        "older, beside a new one": thing("7", run_id="new", since=old),
        "nobody knows": thing("8", run_id="none"),
        "of a run that ended": thing("9", run_id="ended"),
        "data": thing("10", run_id="old", since=old, holds_data=True),
        "for ever": thing("11", run_id="old", since=old, command="", note="paid until May"),
    }
    by_id = {item.resource.id: item for item in judge(items.values(), rules, NOW)}
    kept = {what: by_id[item.id].kept for what, item in items.items() if item.id in by_id}
    assert kept == {
        "hers": "belongs to her",
        "old": "",
        "of an old fleet": "",
        "beside a new one": "too young",
        "new": "too young",
        "older, beside a new one": "",
        "nobody knows": "of unknown age",
        "of a run that ended": "",
        "data": "holds data: --with-data removes it",
        "for ever": "paid until May",
    }


def test_doctor_says_who_pays_and_which_quotas_a_plan_exceeds(
    sweep: Any, in_process: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from moto.servicequotas.models import ServiceQuotasBackend

    def limit(_: object, service_code: str, quota_code: str) -> dict[str, object]:
        return {"ServiceCode": service_code, "QuotaCode": quota_code, "Value": 5.0}

    monkeypatch.setattr(ServiceQuotasBackend, "get_service_quota", limit)
    shown = {check["name"]: check for check in json.loads(sweep("doctor", "--json").stdout)["checks"]}
    assert shown["aws"]["detail"] == "paid by 123456789012"
    (tmp_path / "run.yaml").write_text(SPEC)
    assert in_process("plan", "run.yaml", "--out", "plan.json").returncode == 0
    done = sweep("doctor", "--plan", "plan.json", "--json")
    quotas = [check for check in json.loads(done.stdout)["checks"] if check["name"] == "aws quota"]
    (short,) = [check for check in quotas if "L-417A185B" in check["detail"]]
    assert short["status"] == "weaker"
    assert short["fix"].startswith("aws service-quotas request-service-quota-increase --service-code ec2")
    assert sweep("doctor", "--plan", "run.yaml").returncode == 2
