"""Azure through its own libraries, against a server of ours that answers as its resource manager does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from azure_server import ROOT, SUBSCRIPTION, Subscription, serve

from clusterctl.clouds import cloud_of, leftovers
from clusterctl.clouds.base import Cloud, CloudError, CloudUnreachable, CredentialsMissing, InUse, NotAllowed
from clusterctl.clouds.leftovers import Rules
from clusterctl.commands.sweep_clouds import CloudSweep, look_in_clouds
from clusterctl.errors import NotAllAsked
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from planners.plan.value import Plan, Pool
from planners.tags import cloud_tags

TAGS = cloud_tags("azure", {"run": "run-1", "owner": "me"})
HERS = cloud_tags("azure", {"run": "run-2", "owner": "her"})
SIZE = "Standard_ND96isr_H100_v5"
NODES = "MC_run-1"


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Subscription]:
    subscription = Subscription()
    server = serve(subscription)
    for name in [name for name in os.environ if name.startswith(("AZURE_", "MSI_", "IDENTITY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # no `az` is asked
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    monkeypatch.setenv("CLUSTERCTL_AZURE_ENDPOINT", subscription.url)
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{subscription.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    yield subscription
    server.shutdown()
    server.server_close()


@pytest.fixture
def cloud(azure: Subscription) -> Cloud:
    return cloud_of("azure")


def fill(azure: Subscription) -> None:
    for name, tags in (("run-1", TAGS), ("run-2", HERS)):
        azure.groups[name] = {"id": f"{ROOT}/resourceGroups/{name}", "name": name, "location": "eastus", "tags": tags}
    more = {"location": "eastus", "tags": TAGS}
    sku = {"tier": "Standard", "name": "Base"}
    azure.add("run-1", "Microsoft.ContainerService/managedClusters", "run-1", sku=sku, **more)
    scale_set = {"sku": {"name": SIZE, "capacity": 2}, "properties": {"virtualMachineProfile": {"priority": "Regular"}}}
    azure.add(
        NODES,
        "Microsoft.Compute/virtualMachineScaleSets",
        "aks-gpu1-vmss",
        location="eastus",
        tags=TAGS | {"aks-managed-poolName": "gpu1"},
        **scale_set,
    )
    azure.add("run-1", "Microsoft.Network/virtualNetworks", "net", uses="nat", **more)
    azure.add("run-1", "Microsoft.Network/natGateways", "nat", uses="address", **more)
    azure.add("run-1", "Microsoft.Network/publicIPAddresses", "address", **more)
    azure.add("run-1", "Microsoft.Storage/storageAccounts", "results", **more)
    azure.add("run-1", "Microsoft.New/things", "odd", **more)
    azure.add("run-2", "Microsoft.Network/virtualNetworks", "hers", location="eastus", tags=HERS)
    by_run = {"name": "clusterctl.dev.run", "operator": "In", "values": ["run-1"]}
    budget = f"{ROOT}/providers/Microsoft.Consumption/budgets/limit"
    azure.budgets = [{"id": budget, "name": "limit", "properties": {"filter": {"tags": by_run}}}]
    azure.resources[budget.lower()] = {"id": budget, "name": "limit", "type": "x", "tags": {}}


def test_everything_of_one_owner_is_found_and_removed(azure: Subscription, cloud: Cloud) -> None:
    fill(azure)
    assert cloud.identity() == SUBSCRIPTION
    assert list(cloud.regions()) == ["eastus", "westeurope"]
    found = cloud.resources(None, "me")
    kinds = ["cluster", "scale set", "network", "NAT gateway", "address", "storage account", "budget"]
    assert [item.kind for item in found.resources if item.kind in kinds] == kinds
    assert {item.kind for item in found.resources} - set(kinds) == {"Microsoft.New/things", "resource group"}
    assert found.not_asked == ()
    by_kind = {item.kind: item for item in found.resources}
    machines = by_kind["scale set"]
    assert machines.note == f"2 × {SIZE}"
    assert machines.usd_per_hour == pytest.approx(2 * 98.32, rel=0.05)
    assert machines.since == datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
    assert by_kind["cluster"].usd_per_hour == 0.1
    assert (by_kind["storage account"].holds_data, by_kind["resource group"].holds_data) == (True, True)
    assert by_kind["budget"].owner == "me"
    assert by_kind["cluster"].command.startswith("az resource delete --ids /subscriptions/")
    assert by_kind["Microsoft.New/things"].command == ""
    assert [item.kind for item in cloud.resources(["westeurope"], "me").resources] == ["budget"]
    with pytest.raises(InUse):
        cloud.remove(by_kind["address"])
    for item in found.resources:
        if item.command:
            cloud.remove(item)
    assert "run-1" not in azure.groups
    assert cloud.resources(None, "me").resources == ()
    cloud.remove(by_kind["cluster"])
    assert {item.owner for item in cloud.resources(None, None).resources} == {"her"}


def test_a_group_with_things_of_another_owner_is_kept(azure: Subscription, cloud: Cloud) -> None:
    fill(azure)
    azure.add("run-1", "Microsoft.Network/virtualNetworks", "guest", location="eastus", tags=HERS)
    (group,) = [item for item in cloud.resources(None, "me").resources if item.kind == "resource group"]
    assert (group.command, group.note) == ("", "holds things of her")
    with pytest.raises(CloudError, match="holds things of her"):
        cloud.remove(group)
    assert "run-1" in azure.groups


def test_what_may_not_be_asked_is_named_and_the_rest_is_found(azure: Subscription, cloud: Cloud) -> None:
    fill(azure)
    azure.refuse["/resourcegroups$"] = [403]
    found = cloud.resources(None, "me")
    assert [place.place for place in found.not_asked] == ["resource groups"]
    assert "AuthorizationFailed" in found.not_asked[0].reason
    assert "cluster" in {item.kind for item in found.resources}


def test_throttled_calls_are_made_again(azure: Subscription, cloud: Cloud) -> None:
    fill(azure)
    azure.refuse[f"^{ROOT}/resources$"] = [429, 503, 429]
    found = cloud.resources(None, "me")
    assert found.not_asked == ()
    assert "cluster" in {item.kind for item in found.resources}
    azure.refuse[f"^{ROOT}/resources$"] = [429] * 20
    assert [place.place for place in cloud.resources(None, "me").not_asked] == ["resources"]


def test_who_may_not_ask_or_has_no_credentials_is_told(
    azure: Subscription, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure.refuse[f"^{ROOT}$"] = [403]
    with pytest.raises(NotAllowed):
        cloud.identity()
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    with pytest.raises(CredentialsMissing) as caught:
        cloud_of("azure").identity()
    assert str(caught.value.hint).startswith("`az login`")
    monkeypatch.delenv("AZURE_TOKEN_CREDENTIALS")


def test_a_cloud_that_does_not_answer_is_unreachable(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_AZURE_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(CloudUnreachable):
        cloud.identity()


POOL = FleetPool(pool_id="p", name="gpu", group="gpu1", most_nodes=4, instance_type=SIZE, capacity_type="spot")
FLEET = FleetOutputs(
    cloud="azure",
    region="eastus",
    cluster="run-1",
    endpoint="https://x",
    namespace="n",
    service_account="s",
    account=SUBSCRIPTION,
    resource_group="run-1",
    pools=(POOL,),
)


def test_machines_size_and_problems_of_a_pool(azure: Subscription, cloud: Cloud) -> None:
    fill(azure)
    cluster = f"{ROOT}/resourceGroups/run-1/providers/Microsoft.ContainerService/managedClusters/run-1"
    azure.details[cluster.lower()] = {"properties": {"nodeResourceGroup": NODES}}
    pool = {"properties": {"count": 0, "provisioningState": "Succeeded", "vmSize": SIZE}}
    azure.details[f"{cluster}/agentPools/gpu1".lower()] = pool
    its = {"timeCreated": "2026-11-30T12:00:00.1234567+00:00", "osProfile": {"computerName": "aks-gpu1-0"}}
    its["instanceView"] = {"statuses": [{"code": "PowerState/running"}]}  # type: ignore[assignment]
    azure.machines["aks-gpu1-vmss"] = [{"id": f"/vm/{number}", "zones": ["2"], "properties": its} for number in (0, 1)]
    live = cloud.instances(FLEET)
    assert [(each.id, each.pool, each.zone, each.address, each.ready) for each in live] == [
        ("/vm/0", "gpu", "2", "aks-gpu1-0", True),
        ("/vm/1", "gpu", "2", "aks-gpu1-0", True),
    ]
    cloud.resize(FLEET, POOL, 2)
    cloud.resize(FLEET, POOL, 2)
    assert pool["properties"]["count"] == 2
    assert sum(asked.startswith("PUT") for asked in azure.asked) == 1
    view = (
        f"{ROOT}/resourceGroups/{NODES}/providers/Microsoft.Compute/virtualMachineScaleSets/aks-gpu1-vmss/instanceView"
    )
    azure.details[view.lower()] = {"statuses": [{"code": "ProvisioningState/succeeded", "level": "Info"}]}
    assert cloud.pool_problem(FLEET, POOL) == ""
    failed = {"code": "ProvisioningState/failed/AllocationFailed", "level": "Error", "message": "no capacity"}
    azure.details[view.lower()] = {"statuses": [failed]}
    assert cloud.pool_problem(FLEET, POOL) == "ProvisioningState/failed/AllocationFailed: no capacity"
    pool["properties"]["provisioningState"] = "Scaling"
    with pytest.raises(InUse):
        cloud.resize(FLEET, POOL, 0)


def test_quotas(azure: Subscription, cloud: Cloud) -> None:
    family = "standardNDSH100v5Family"
    azure.skus = [
        {"resourceType": "virtualMachines", "name": SIZE, "family": family},
        {"resourceType": "virtualMachines", "name": "Standard_D2s_v5", "family": "standardDSv5Family"},
    ]
    azure.usages = [
        {"name": {"value": name, "localizedValue": name}, "limit": limit, "currentValue": used, "unit": "Count"}
        for name, limit, used in (
            ("standardNDSH100v5Family", 192, 96),
            ("standardDSv5Family", 10, 0),
            ("cores", 1000, 96),
            ("lowPriorityCores", 3, 0),
        )
    ]
    asked = {"id": "x", "role": "trainer", "cloud": "azure", "region": "eastus", "hours": 1, "usd": None, "stage": "rl"}
    asked |= {"usd_per_node_hour": None, "price_as_of": None, "price_source": "", "gpus_per_node": 8, "gpu": "H100"}
    plan = Plan.model_construct(
        pools=(
            Pool(**asked, instance_type=SIZE, capacity_type="on_demand", nodes=2),
            Pool(**asked, instance_type=SIZE, capacity_type="spot", nodes=1),
        )
    )
    found = {quota.name: quota for quota in cloud.quotas(plan)}
    assert (found[family].limit, found[family].used, found[family].asked, found[family].is_short) == (
        192,
        96,
        192,
        True,
    )
    assert (found["cores"].asked, found["cores"].is_short) == (194, False)
    assert (found["lowPriorityCores"].asked, found["lowPriorityCores"].is_short) == (96, True)
    assert not found["standardDSv5Family"].is_short
    assert f"az quota update --resource-name {family} --scope {ROOT}/providers/" in found[family].request
    assert "value=288" in found[family].request


def test_sweep_removes_it_and_keeps_data(
    azure: Subscription, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(azure)
    monkeypatch.setattr(leftovers, "PAUSE_SECONDS", 0.0)
    now = datetime(2026, 12, 1, tzinfo=UTC)

    def look(*, with_data: bool) -> CloudSweep:
        rules = Rules(owner="me", live_runs=(), ended_at={}, with_data=with_data)
        return look_in_clouds(["azure"], lambda: rules, known=(), all_owners=False, now=now)

    found = look(with_data=False)
    found.say_who_was_asked()
    assert capsys.readouterr().err == f"asked: azure, {SUBSCRIPTION}, all regions\n"
    kept = {item.resource.kind: item.kept for item in found.items if item.kept}
    data = "holds data: --with-data removes it"
    gone_with = "this version can't remove it; its group takes it along"
    assert kept == {"storage account": data, "resource group": data, "Microsoft.New/things": gone_with}
    found.clear()
    assert found.left == {}
    again = look(with_data=True)
    assert {item.resource.kind for item in again.items} == set(kept)
    again.clear()
    assert (again.left, look(with_data=True).items) == ({}, [])
    again.raise_what_is_wrong()
    azure.refuse["/resourcegroups$"] = [403]
    with pytest.raises(NotAllAsked, match="azure resource groups"):
        look(with_data=True).raise_what_is_wrong()
