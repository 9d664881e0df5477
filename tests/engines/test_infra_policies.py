"""Every resource that the Pulumi program makes, on each cloud: what the plan says, and no rule of the policy pack broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "pulumi"))

from provider_names import is_id_of, name_property

from clusterctl.fleet.outputs import FleetOutputs
from infra.automation.identities import AGAIN, ASKED, NAMED
from planners.rules.resource_rules import all_own_fleet_problems
from planners.tags import described

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clusterctl-engines/pulumi/bin/python"
SPEC = """
name: rlcef
stages:
  - {{kind: rlcef, model: Qwen/Qwen2.5-Coder-32B-Instruct, steps: 50, response_tokens: {{mean: 2000}}}}
fleet: {{targets: [{cloud}], gpus: [H100], capacity: [{capacity}]}}
limits: {{usd: 60000}}
labels: {{team: code}}
"""
POOLS = re.compile(r"(NodeGroup|NodePool|AgentPool)$")
Resource = Mapping[str, Any]
Ask = Callable[..., list[Resource]]
KNOWN: dict[str, list[Resource]] = {}


@pytest.fixture
def ask(tmp_path: Path, in_process: Any) -> Ask:
    """What the program asks of a cloud, without the components; once for each question: importing a cloud's package
    takes seconds."""

    def asked(cloud: str, capacity: str = "on_demand", **settings: str) -> list[Resource]:
        key = f"{cloud} {capacity} {sorted(settings.items())}"
        if key not in KNOWN:
            KNOWN[key] = _asked(tmp_path, in_process, cloud, capacity, settings)
        return KNOWN[key]

    return asked


def _asked(folder: Path, run: Any, cloud: str, capacity: str, settings: Mapping[str, str]) -> list[Resource]:
    (folder / "run.yaml").write_text(SPEC.format(cloud=cloud, capacity=capacity))
    planned = run("plan", str(folder / "run.yaml"), "--out", str(folder / "plan.json"))
    assert planned.returncode == 0, planned.stderr
    script = ROOT / "tests/engines/pulumi/resources_of_plan.py"
    more = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [PYTHON, script, folder / "plan.json", *more], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout) if not row["type"].startswith("clusterctl:")]
    return [*rows, {"type": "plan", "name": "", "inputs": json.loads((folder / "plan.json").read_text())}]


def of_type(rows: list[Resource], suffix: str) -> dict[str, Any]:
    """Inputs by name."""
    return {row["name"]: row["inputs"] for row in rows if row["type"].endswith(suffix)}


def nodes_of(rows: list[Resource]) -> list[tuple[str, int]]:
    """Type and number of the nodes of each pool."""
    templates, found = of_type(rows, ":LaunchTemplate"), []
    for row in rows:
        inputs = row["inputs"]
        if POOLS.search(row["type"]) and row["name"] != "system":
            sizes = inputs.get("scalingConfig", {}).get("desiredSize", inputs.get("nodeCount", inputs.get("count")))
            machine = inputs.get("vmSize") or inputs.get("nodeConfig", {}).get("machineType")
            found.append((machine or templates[row["name"]]["instanceType"], sizes))
    return sorted(found)


CLOUDS = pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])


@CLOUDS
def test_every_pool_of_the_plan_has_its_nodes(ask: Ask, cloud: str) -> None:
    rows = ask(cloud)
    (plan,) = of_type(rows, "plan").values()
    assert nodes_of(rows) == sorted((pool["instance_type"], pool["nodes"]) for pool in plan["pools"])


@CLOUDS
def test_no_rule_is_broken(ask: Ask, cloud: str) -> None:
    rows = ask(cloud)
    assert [
        (row["type"], row["name"], found)
        for row in rows
        if (found := all_own_fleet_problems(row["type"], row["inputs"]))
    ] == []
    assert len(rows) > 30


def test_what_can_have_no_labels_on_google_says_whose_it_is(ask: Ask) -> None:
    kinds = (":Network", ":Subnetwork", ":Router", ":Firewall", "account:Account")
    found = [row for row in ask("gcp") if row["type"].startswith("gcp:") and row["type"].endswith(kinds)]
    assert len(found) > 5
    for row in found:
        assert set(described(row["inputs"]["description"])) == {"clusterctl-dev-run", "clusterctl-dev-owner"}


@CLOUDS
def test_a_supervised_fleet_begins_without_a_node_and_has_the_other_offers(ask: Ask, cloud: str) -> None:
    rows = ask(cloud, "spot, on_demand", nodes="supervisor")
    (plan,), (told,) = of_type(rows, "plan").values(), of_type(rows, "outputs").values()
    assert {nodes for _, nodes in nodes_of(rows)} == {0}
    outputs = FleetOutputs.model_validate(told)
    own = {pool["id"]: pool for pool in plan["pools"]}
    assert own.keys() <= {each for pool in outputs.pools for each in pool.pool_ids}
    region = plan["pools"][0]["region"]
    others = [
        pool
        for each in plan["alternatives"] + plan.get("elsewhere", [])
        if {pool["region"] for pool in each["pools"]} == {region}
        for pool in each["pools"]
    ]
    wanted = {(pool["instance_type"], pool["capacity_type"]) for pool in [*own.values(), *others]}
    assert {(pool.instance_type, pool.capacity_type) for pool in outputs.pools} == wanted
    if cloud != "azure":  # whose H100 have no spot price in the book
        assert {capacity for _, capacity in wanted} == {"spot", "on_demand"}, "another way of buying is at hand"
    assert all(pool.most_nodes >= own[pool.pool_id]["nodes"] for pool in outputs.pools if pool.pool_id in own)
    assert told.keys() == FleetOutputs.model_fields.keys(), "no key of which nobody knows"
    assert all(value for name, value in told.items() if name not in {"resource_group", "zone"}), told


@CLOUDS
def test_the_supervisor_may_resize_these_pools_and_nothing_else(ask: Ask, cloud: str) -> None:
    rows = ask(cloud)
    if cloud == "aws":
        first, second = json.loads(of_type(rows, ":RolePolicy")["supervisor"]["policy"])["Statement"]
        assert first["Action"] == ["eks:DescribeNodegroup", "eks:UpdateNodegroupConfig"]
        groups = [name for name in of_type(rows, ":NodeGroup") if name != "system"]
        assert sorted(arn.split("/")[-2] for arn in first["Resource"]) == sorted(groups)
        assert all(action.partition(":")[2].startswith("Describe") for action in second["Action"])
        who = of_type(rows, ":PodIdentityAssociation")["supervisor"]
        assert (who["namespace"], who["serviceAccount"]) == ("clusterctl-rlcef-123456", "clusterctl")
    elif cloud == "gcp":
        roles = of_type(rows, ":IAMCustomRole")
        assert roles["supervisor-resize"]["permissions"] == ["container.clusters.get", "container.clusters.update"]
        assert all(right.rpartition(".")[2] in {"get", "list"} for right in roles["supervisor-look"]["permissions"])
        bound = of_type(rows, ":IAMMember")["supervisor-resize"]
        assert bound["condition"]["expression"].endswith('/clusters/rlcef-123456")')
        assert bound["member"].endswith("/subject/ns/clusterctl-rlcef-123456/sa/clusterctl")
    else:
        (role,) = of_type(rows, ":RoleDefinition").values()
        pools = "Microsoft.ContainerService/managedClusters/agentPools"
        assert role["permissions"] == [{"actions": [f"{pools}/read", f"{pools}/write"]}]
        scopes = [
            each["scope"] for name, each in of_type(rows, ":RoleAssignment").items() if name.startswith("supervisor-")
        ]
        pools = [f"{name}-id" for name in of_type(rows, ":AgentPool")]
        assert sorted(scopes) == sorted([*pools, "/subscriptions/sub-1/resourceGroups/nodes"])


@CLOUDS
def test_what_the_user_has_is_used_instead(ask: Ask, cloud: str) -> None:
    cluster = "mine"
    if cloud == "azure":
        cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/mine"
    bucket = "my-bucket"
    if cloud == "azure":
        account = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/store"
        bucket = f"{account}/blobServices/default/containers/my-bucket"
    rows = ask(cloud, cluster=cluster, bucket=bucket, zone="zone-b")
    made = {row["type"].rpartition(":")[2] for row in rows}
    assert not made & {"Vpc", "Network", "VirtualNetwork", "Cluster", "ManagedCluster", "BucketV2", "Bucket"} - (
        {"Network"} if cloud == "gcp" else set()  # of the cards
    )
    assert "StorageAccount" not in made
    (told,) = of_type(rows, "outputs").values()
    assert told["bucket"].endswith("my-bucket")
    assert len(nodes_of(rows)) == 2


@pytest.fixture
def chosen(ask: Ask, cloud: str) -> list[Resource]:
    """A fleet in the user's network, on capacity that he holds, with an image that is fetched beforehand."""
    held = dict.fromkeys(("p5.48xlarge", "a3-highgpu-8g", "a3-megagpu-8g", "Standard_ND96is_H100_v5"), "held-1")
    more = {"subnets": '["subnet-mine", "subnet-too"]', "images": '["python:3.12"]', "reservations": json.dumps(held)}
    return ask(cloud, **more)


@CLOUDS
def test_a_users_network_is_used_instead(chosen: list[Resource]) -> None:
    made = {row["type"].rpartition(":")[2] for row in chosen}
    assert not made & {"Vpc", "Router", "NatGateway", "VirtualNetwork"}
    assert "subnet-mine" in json.dumps([row["inputs"] for row in chosen if row["type"] != "outputs"])


@CLOUDS
def test_capacity_that_is_held_is_asked_for(chosen: list[Resource], cloud: str) -> None:
    if cloud == "aws":
        found = [each.get("capacityReservationSpecification") for each in of_type(chosen, ":LaunchTemplate").values()]
        assert {"capacityReservationTarget": {"capacityReservationId": "held-1"}} in found
    elif cloud == "gcp":
        (pool,) = [each for name, each in of_type(chosen, ":NodePool").items() if name.startswith("gpu-")]
        assert pool["nodeConfig"]["reservationAffinity"]["values"] == ["held-1"]
        assert "autoscaling" not in pool
    else:
        found = [each.get("capacityReservationGroupID") for each in of_type(chosen, ":AgentPool").values()]
        assert "held-1" in found


def test_flex_start_nodes_come_for_pods_that_wait(ask: Ask) -> None:
    flexible = json.dumps(dict.fromkeys(("a3-highgpu-8g", "a3-megagpu-8g"), "flex-start"))
    (pool,) = [
        each
        for name, each in of_type(ask("gcp", reservations=flexible), ":NodePool").items()
        if name.startswith("gpu-")
    ]
    assert (pool["nodeConfig"]["flexStart"], pool["nodeCount"]) == (True, 0)
    assert pool["autoscaling"]["totalMaxNodeCount"] >= 1


def test_what_is_bought_in_another_way_is_asked_for_so(ask: Ask) -> None:
    (group,) = [each for name, each in of_type(ask("aws", "spot"), ":NodeGroup").items() if name.startswith("gpu-")]
    assert group["capacityType"] == "SPOT"


@CLOUDS
def test_the_cluster_has_what_the_run_wants_of_it(chosen: list[Resource], cloud: str) -> None:
    sandbox_class = of_type(chosen, ":RuntimeClass")["sandbox"]
    assert sandbox_class["handler"] == {"aws": "runsc", "gcp": "gvisor", "azure": "kata"}[cloud]
    policies = of_type(chosen, ":NetworkPolicy")
    assert policies["sandboxes"]["spec"]["egress"] == []
    assert ("169.254.169.254/32" in json.dumps(policies["no-metadata"])) == (cloud != "gcp")
    plugins = {name for name in of_type(chosen, ":DaemonSet") if name.endswith("device-plugin")}
    assert plugins == {"aws": {"nvidia-device-plugin", "efa-device-plugin"}, "gcp": set()}.get(
        cloud, {"nvidia-device-plugin"}
    )
    assert "pre-pull" in of_type(chosen, ":DaemonSet")


@pytest.mark.parametrize("cloud", ["aws", "gcp", "azure"])
def test_whatever_is_made_can_be_found_again_after_a_crash(ask: Ask, cloud: str) -> None:
    rows = [row for row in ask(cloud) if ":" in row["type"] and not row["type"].startswith(("pulumi:", "kubernetes:"))]
    tagged = {row["type"] for row in rows if cloud == "aws" and row["inputs"].get("tags")}
    assert {row["type"] for row in rows} - tagged - AGAIN - set(NAMED) - set(ASKED) == set()
    assert all("clusterctl.dev/resource" in row["inputs"]["tags"] for row in rows if row["type"] in tagged)
    for row in rows:
        if row["type"] in NAMED:
            key = name_property(row["type"])
            given = {key: f"{row['name']}-1a2b3c4", **row["inputs"]} if key else row["inputs"]
            identity = NAMED[row["type"]].format_map({"project": "project-1", "subscription": "sub-1", **given})
            assert is_id_of(identity, row["type"], given), (identity, given)
