"""Every resource that the Pulumi program makes, on each cloud: tagged, encrypted, closed, and no right too many."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines/pulumi/bin/python"
SPEC = """
name: rlcef
stages:
  - {{kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {{mean: 2000}}}}
fleet: {{targets: [{cloud}], gpus: [H100], capacity: [{capacity}]{more}}}
limits: {{usd: 60000}}
labels: {{team: code}}
"""
GROUPED = {"aws": "aws:", "gcp": "gcp:", "azure": "azure-native:"}
Resource = Mapping[str, Any]


def resources(tmp_path: Path, run: Any, cloud: str, capacity: str = "on_demand", more: str = "") -> list[Resource]:
    """What the program asks of a cloud, without the components."""
    (tmp_path / "run.yaml").write_text(SPEC.format(cloud=cloud, capacity=capacity, more=more))
    planned = run("plan", "run.yaml", "--out", "plan.json")
    assert planned.returncode == 0, planned.stderr
    script = ROOT / "tests/engines/pulumi/resources_of_plan.py"
    done = subprocess.run([PYTHON, script, tmp_path / "plan.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [row for row in json.loads(done.stdout) if not row["type"].startswith("clusterctl:")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Resource]]:
    """Cloud → resources of an on-demand fleet."""
    return {}


def of(made: dict[str, list[Resource]], tmp_path: Path, run: Any, cloud: str) -> list[Resource]:
    """Once a cloud: importing a cloud's package takes seconds."""
    if cloud not in made:
        made[cloud] = resources(tmp_path, run, cloud)
    return made[cloud]


def values(thing: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of the inputs, with the way to it."""
    if isinstance(thing, Mapping):
        for name, value in thing.items():
            yield from values(value, f"{path}.{name}")
    elif isinstance(thing, list):
        for value in thing:
            yield from values(value, path)
    else:
        yield path, thing


CLOUDS = pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])


@CLOUDS
def test_every_pool_of_the_plan_has_its_nodes(made: Any, tmp_path: Path, in_process: Any, cloud: str) -> None:
    rows = of(made, tmp_path, in_process, cloud)
    plan = json.loads((tmp_path / "plan.json").read_text())
    wanted = sorted((pool["instance_type"], pool["nodes"]) for pool in plan["pools"])
    found = []
    for row in rows:
        inputs = row["inputs"]
        if row["type"] == "aws:eks/nodeGroup:NodeGroup" and row["name"] != "system":
            (template,) = [r for r in rows if r["type"].endswith(":LaunchTemplate") and r["name"] == row["name"]]
            found.append((template["inputs"]["instanceType"], inputs["scalingConfig"]["desiredSize"]))
        elif row["type"] == "gcp:container/nodePool:NodePool" and row["name"] != "system":
            found.append((inputs["nodeConfig"]["machineType"], inputs["nodeCount"]))
        elif row["type"] == "azure-native:containerservice:AgentPool":
            found.append((inputs["vmSize"], inputs["count"]))
    assert sorted(found) == wanted


@CLOUDS
def test_everything_carries_our_tags(made: Any, tmp_path: Path, in_process: Any, cloud: str) -> None:
    rows = of(made, tmp_path, in_process, cloud)
    if cloud in {"aws", "gcp"}:  # by the provider, on whatever takes tags
        (provider,) = [row for row in rows if row["type"] == f"pulumi:providers:{cloud}"]
        tags = json.loads(provider["inputs"]["defaultTags" if cloud == "aws" else "defaultLabels"])
        tags = tags.get("tags", tags)
        expected = {
            "clusterctl.dev/run": "rlcef-123456",
            "clusterctl.dev/owner": "ledger-1",
            "clusterctl.dev/team": "code",
        }
        if cloud == "gcp":
            expected = {name.replace(".", "-").replace("/", "-"): value for name, value in expected.items()}
        assert expected.items() <= tags.items()
        return
    groups = ("ResourceGroup", "VirtualNetwork", "PublicIPAddress", "NatGateway", "ManagedCluster", "StorageAccount")
    for row in rows:
        kind = row["type"].rpartition(":")[2]
        if kind in {*groups, "AgentPool", "UserAssignedIdentity", "ProximityPlacementGroup"}:
            assert row["inputs"]["tags"]["clusterctl.dev.run"] == "rlcef-123456", row


@CLOUDS
def test_nothing_is_open_to_the_internet(made: Any, tmp_path: Path, in_process: Any, cloud: str) -> None:
    for row in of(made, tmp_path, in_process, cloud):
        for path, value in values(row["inputs"]):
            if value in {"0.0.0.0/0", "::/0", "*"}:
                assert (row["type"], path) == ("aws:ec2/routeTable:RouteTable", ".routes.cidrBlock"), (row, path)
            if re.search(r"(?i)(nodePublicIp|associatePublicIp|mapPublicIp)", path):
                assert value is False, (row, path)
    cluster = next(
        row["inputs"]
        for row in made[cloud]
        if re.search(r"(eks/|container/|:Managed)[cC]luster(:Cluster)?$", row["type"])
    )
    if cloud == "aws":
        assert cluster["vpcConfig"]["endpointPublicAccess"] is False
    elif cloud == "gcp":
        assert cluster["privateClusterConfig"]["enablePrivateEndpoint"] is True
    else:
        assert cluster["apiServerAccessProfile"]["enablePrivateCluster"] is True


@CLOUDS
def test_whatever_holds_data_is_encrypted_and_closed(made: Any, tmp_path: Path, in_process: Any, cloud: str) -> None:
    rows = of(made, tmp_path, in_process, cloud)
    by_type: dict[str, list[Any]] = {}
    for row in rows:
        by_type.setdefault(row["type"].rpartition(":")[2], []).append(row["inputs"])
    if cloud == "aws":
        disks = [each["ebs"] for template in by_type["LaunchTemplate"] for each in template["blockDeviceMappings"]]
        assert disks
        assert all(disk["encrypted"] == "true" for disk in disks)
        assert all(template["metadataOptions"]["httpTokens"] == "required" for template in by_type["LaunchTemplate"])
        assert by_type["FileSystem"][0]["encrypted"] is True
        assert by_type["Cluster"][0]["encryptionConfig"]["resources"] == ["secrets"]
        (block,) = by_type["BucketPublicAccessBlock"]
        assert all(block[f"{what}"] for what in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls"))
        assert "aws:SecureTransport" in by_type["BucketPolicy"][0]["policy"]
    elif cloud == "gcp":
        (bucket,) = by_type["Bucket"]
        assert (bucket["publicAccessPrevention"], bucket["uniformBucketLevelAccess"]) == ("enforced", True)
        assert by_type["Cluster"][0]["databaseEncryption"]["state"] == "ENCRYPTED"
    else:
        (account,) = by_type["StorageAccount"]
        assert (account["allowBlobPublicAccess"], account["allowSharedKeyAccess"]) == (False, False)
        assert account["networkRuleSet"]["defaultAction"] == "Deny"
        assert all(pool["enableEncryptionAtHost"] for pool in by_type["AgentPool"])


@CLOUDS
def test_nobody_has_a_right_to_everything(made: Any, tmp_path: Path, in_process: Any, cloud: str) -> None:
    roles = []
    for row in of(made, tmp_path, in_process, cloud):
        for path, value in values(row["inputs"]):
            if path.lower().endswith("policy") and str(value).startswith("{"):
                for statement in json.loads(value)["Statement"]:
                    if statement["Effect"] == "Allow":
                        actions = statement["Action"]
                        assert "*" not in "".join([actions] if isinstance(actions, str) else actions), row
                        assert statement.get("Resource") != ["*"], row
            if path in {".role", ".roleDefinitionId", ".policyArn"}:
                roles.append(str(value))
    forbidden = ("roles/owner", "roles/editor", "AdministratorAccess", "8e3af657-a8ff-443c-a75c-2fe8c4bcb635")
    assert not [role for role in roles if role.endswith(forbidden)]


@CLOUDS
def test_sandboxes_are_kept_apart(made: Any, tmp_path: Path, in_process: Any, cloud: str) -> None:
    rows = of(made, tmp_path, in_process, cloud)
    (pool,) = [
        row["inputs"]
        for row in rows
        if row["name"].startswith("sandbox-") and re.search(r"(NodeGroup|NodePool|AgentPool)$", row["type"])
    ]
    assert "clusterctl.dev/sandbox" in json.dumps(pool), "tainted: nothing else is placed there"
    if cloud == "gcp":
        assert pool["nodeConfig"]["sandboxConfig"]["sandboxType"] == "gvisor"
        assert pool["nodeConfig"]["workloadMetadataConfig"]["mode"] == "GKE_METADATA"
    elif cloud == "azure":
        assert pool["workloadRuntime"] == "KataVmIsolation"
    else:
        (template,) = [r for r in rows if r["type"].endswith(":LaunchTemplate") and r["name"].startswith("sandbox-")]
        assert template["inputs"]["metadataOptions"]["httpPutResponseHopLimit"] == 1


def test_what_is_bought_in_another_way_is_asked_for_so(tmp_path: Path, in_process: Any) -> None:
    spot = resources(tmp_path, in_process, "aws", capacity="spot")
    (group,) = [r["inputs"] for r in spot if r["type"].endswith(":NodeGroup") and r["name"].startswith("gpu-")]
    assert group["capacityType"] == "SPOT"
