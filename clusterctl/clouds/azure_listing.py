"""Everything in a subscription of Azure that is ours: resources with our tags, and the groups that we made for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from clusterctl.clouds.azure_session import AzureSession
from clusterctl.clouds.base import CloudError, CloudResource, Found, NotAsked
from clusterctl.clouds.prices import extra_usd, machine_usd
from planners.tags import tag_key

RUN, OWNER = tag_key("azure", "run"), tag_key("azure", "owner")
GROUPS_VERSION, BUDGETS_VERSION, COMPUTE_VERSION = "2021-04-01", "2023-05-01", "2024-07-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureKind:
    """A type of resource."""

    name: str
    version: str
    """Of its interface."""
    price: str = ""
    """The price book's name of what it costs by the hour; empty = nothing."""
    is_priced: bool = True
    holds_data: bool = False


KINDS = {
    "microsoft.containerservice/managedclusters": AzureKind(name="cluster", version="2024-09-01"),
    "microsoft.compute/virtualmachinescalesets": AzureKind(name="scale set", version=COMPUTE_VERSION),
    "microsoft.compute/virtualmachines": AzureKind(name="virtual machine", version=COMPUTE_VERSION, is_priced=False),
    "microsoft.network/loadbalancers": AzureKind(name="load balancer", version="2024-05-01", is_priced=False),
    "microsoft.compute/disks": AzureKind(name="disk", version="2023-10-02", is_priced=False),
    "microsoft.compute/proximityplacementgroups": AzureKind(name="placement group", version=COMPUTE_VERSION),
    "microsoft.network/virtualnetworks": AzureKind(name="network", version="2024-05-01"),
    "microsoft.network/natgateways": AzureKind(name="NAT gateway", version="2024-05-01", price="nat_gateway_hour"),
    "microsoft.network/publicipaddresses": AzureKind(
        name="address", version="2024-05-01", price="public_ip_standard_static"
    ),
    "microsoft.network/networksecuritygroups": AzureKind(name="security group", version="2024-05-01"),
    "microsoft.storage/storageaccounts": AzureKind(
        name="storage account", version="2023-05-01", is_priced=False, holds_data=True
    ),
    "microsoft.managedidentity/userassignedidentities": AzureKind(name="identity", version="2023-01-31"),
    "budget": AzureKind(name="budget", version=BUDGETS_VERSION),
    "resource group": AzureKind(name="resource group", version=GROUPS_VERSION),
}
"""In the order in which they can be removed."""
BY_NAME = {kind.name: kind for kind in KINDS.values()}
ORDER = {kind.name: place for place, kind in enumerate(KINDS.values())}


def find(session: AzureSession, regions: set[str] | None, owner: str | None) -> Found:
    """The subscription answers for all regions at once."""
    found: list[CloudResource] = []
    refused: list[NotAsked] = []
    for service, ask in {"resources": _resources, "resource groups": _groups}.items():
        try:
            found += ask(session, owner)
        except CloudError as error:
            refused.append(NotAsked(cloud="azure", place=service, reason=error.message))
    try:
        found += _budgets(session, {item.run_id: item.owner for item in found})
    except CloudError as error:
        refused.append(NotAsked(cloud="azure", place="budgets", reason=error.message))
    ours = [item for item in found if regions is None or not item.region or item.region in regions]
    ours.sort(key=lambda item: (ORDER.get(item.kind, ORDER["resource group"]), item.id))
    return Found(resources=tuple(ours), not_asked=tuple(refused))


def _filter(owner: str | None) -> str:
    by = f"tagName eq '{RUN}'" if owner is None else f"tagName eq '{OWNER}' and tagValue eq '{owner}'"
    return f"&$filter={by}".replace(" ", "%20").replace("'", "%27")


def _resource(kind: str, row: Mapping[str, Any], tags: Mapping[str, str], command: str) -> CloudResource:
    created = row.get("createdTime")
    return CloudResource(
        cloud="azure",
        kind=kind,
        id=row["id"],
        name=row["name"],
        region=row.get("location", ""),
        run_id=tags.get(RUN, ""),
        owner=tags.get(OWNER, ""),
        since=datetime.fromisoformat(created) if created else None,
        usd_per_hour=0.0,
        command=command,
    )


def _resources(session: AzureSession, owner: str | None) -> Iterator[CloudResource]:
    query = f"&$expand=createdTime{_filter(owner)}"
    for row in session.pages(f"{session.root}/resources", GROUPS_VERSION, query=query):
        kind = KINDS.get(row["type"].lower())
        command = f"az resource delete --ids {row['id']}"
        item = _resource(kind.name if kind else row["type"], row, row.get("tags") or {}, command if kind else "")
        if kind is None:
            yield replace(item, usd_per_hour=None, note="this version can't remove it; its group takes it along")
        else:
            yield _priced(session, replace(item, holds_data=kind.holds_data), kind, row)


def _priced(session: AzureSession, item: CloudResource, kind: AzureKind, row: Mapping[str, Any]) -> CloudResource:
    if item.kind == "scale set":
        return _machines(session, item, row)
    if item.kind == "cluster":
        paid = (row.get("sku") or {}).get("tier", "Free") != "Free"
        usd = extra_usd("azure", item.region, "k8s_control_plane_standard") if paid else 0.0
        return replace(item, usd_per_hour=usd)
    if not kind.is_priced:
        return replace(item, usd_per_hour=None)
    return replace(item, usd_per_hour=extra_usd("azure", item.region, kind.price) if kind.price else 0.0)


def _machines(session: AzureSession, item: CloudResource, row: Mapping[str, Any]) -> CloudResource:
    sku = row.get("sku") or {}
    size, count = sku.get("name", ""), int(sku.get("capacity") or 0)
    said = session.ask("GET", item.id, COMPUTE_VERSION)
    is_spot = said.get("properties", {}).get("virtualMachineProfile", {}).get("priority") == "Spot"
    each = machine_usd("azure", item.region, size, "spot" if is_spot else "on_demand") if count else 0.0
    usd = None if each is None else each * count
    return replace(item, usd_per_hour=usd, note=f"{count} × {size}{' spot' if is_spot else ''}")


def _groups(session: AzureSession, owner: str | None) -> Iterator[CloudResource]:
    """A group takes everything along that is in it: also data, and never what is another owner's."""
    for row in session.pages(f"{session.root}/resourcegroups", GROUPS_VERSION, query=_filter(owner)):
        command = f"az group delete --name {row['name']} --subscription {session.subscription} --yes"
        item = _resource("resource group", row, row.get("tags") or {}, command)
        inside = list(session.pages(f"{row['id']}/resources", GROUPS_VERSION))
        others = {(each.get("tags") or {}).get(OWNER, item.owner) for each in inside} - {item.owner}
        kinds = [KINDS.get(each["type"].lower()) for each in inside]
        item = replace(item, holds_data=any(kind is not None and kind.holds_data for kind in kinds))
        yield replace(item, command="", note=f"holds things of {', '.join(sorted(others))}") if others else item


def _budgets(session: AzureSession, owners: Mapping[str, str]) -> Iterator[CloudResource]:
    """A budget names the run whose dollars it adds up, and no owner: it is ours where other things of the run are."""
    path = f"{session.root}/providers/Microsoft.Consumption/budgets"
    for row in session.pages(path, BUDGETS_VERSION):
        tags = row.get("properties", {}).get("filter", {}).get("tags", {})
        for run in tags.get("values") or () if tags.get("name") == RUN else ():
            if run in owners:
                command = f"az consumption budget delete --budget-name {row['name']}"
                yield _resource("budget", row, {RUN: run, OWNER: owners[run]}, command)
