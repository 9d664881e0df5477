"""Everything in a project of Google Cloud that is ours: by its labels, or by its description where it can have none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from clusterctl.clouds.base import CloudError, CloudResource, Found, NotAsked
from clusterctl.clouds.gcp_session import GoogleSession
from clusterctl.clouds.prices import disk_usd, extra_usd, machine_usd
from planners.tags import described, tag_key

RUN, OWNER = tag_key("gcp", "run"), tag_key("gcp", "owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogleKind:
    """How a kind of Compute Engine is listed and removed."""

    client: str
    rows: str
    """Of an aggregated listing."""
    argument: str
    """Of `delete`, which takes the name."""
    command: str
    """Of `gcloud compute`."""
    place: str = "region"
    """zone, region or global."""


KINDS = {
    "cluster": GoogleKind(client="", rows="", argument="", command=""),
    "instance": GoogleKind(
        client="Instances", rows="instances", argument="instance", command="instances", place="zone"
    ),
    "forwarding-rule": GoogleKind(
        client="ForwardingRules", rows="forwarding_rules", argument="forwarding_rule", command="forwarding-rules"
    ),
    "router": GoogleKind(client="Routers", rows="routers", argument="router", command="routers"),
    "address": GoogleKind(client="Addresses", rows="addresses", argument="address", command="addresses"),
    "disk": GoogleKind(client="Disks", rows="disks", argument="disk", command="disks", place="zone"),
    "firewall": GoogleKind(client="Firewalls", rows="", argument="firewall", command="firewall-rules", place="global"),
    "subnetwork": GoogleKind(
        client="Subnetworks", rows="subnetworks", argument="subnetwork", command="networks subnets"
    ),
    "network": GoogleKind(client="Networks", rows="", argument="network", command="networks", place="global"),
    "service-account": GoogleKind(client="", rows="", argument="", command=""),
    "bucket": GoogleKind(client="", rows="", argument="", command=""),
}
"""In the order in which they can be removed."""
ORDER = {kind: place for place, kind in enumerate(KINDS)}
DISKS = {"pd-balanced": "block_pd_balanced", "pd-ssd": "block_pd_ssd", "pd-standard": "block_pd_standard"}
DISKS |= {"hyperdisk-balanced": "block_hyperdisk_balanced_storage"}
"""Type of disk → the price book's name of it."""


def find(session: GoogleSession, regions: Iterable[str] | None, owner: str | None) -> Found:
    """One question to each service of the project answers for all regions."""
    found: list[CloudResource] = []
    refused: list[NotAsked] = []
    lists: dict[str, Callable[[], Iterable[CloudResource | NotAsked]]] = {
        "container": lambda: _clusters(session),
        "storage": lambda: _buckets(session),
        "iam": lambda: _accounts(session),
    }
    for kind in KINDS.values():
        if kind.client:
            lists[f"compute {kind.command}"] = lambda kind=kind: _compute(session, kind)  # type: ignore[misc]
    for service, ask in lists.items():
        try:
            for item in ask():
                (refused if isinstance(item, NotAsked) else found).append(item)  # type: ignore[arg-type]
        except CloudError as error:
            refused.append(NotAsked(cloud="gcp", place=service, reason=error.message))
    wanted = None if regions is None else {region_of(place) for place in regions} | {""}
    ours = [
        item
        for item in found
        if (item.run_id or item.owner)
        and (owner is None or item.owner == owner)
        and (wanted is None or region_of(item.region) in wanted)
    ]
    ours.sort(key=lambda item: (ORDER[item.kind], item.region, item.name))
    return Found(resources=tuple(ours), not_asked=tuple(refused))


def region_of(place: str) -> str:
    """`us-central1` of the zone `us-central1-a`."""
    return place.rpartition("-")[0] if place.count("-") > 1 else place


def _resource(
    kind: str, name: str, place: str, *, tags: Mapping[str, str], created: str, command: str
) -> CloudResource:
    return CloudResource(
        cloud="gcp",
        kind=kind,
        id=name,
        name=name,
        region=place,
        run_id=tags.get(RUN, ""),
        owner=tags.get(OWNER, ""),
        since=datetime.fromisoformat(created) if created else None,
        usd_per_hour=0.0,
        command=command,
    )


def _compute(session: GoogleSession, kind: GoogleKind) -> Iterator[CloudResource | NotAsked]:
    client = session.compute(kind.client)
    if kind.rows:
        pages = session.rows(client.aggregated_list, project=session.project)
        for place, rows in pages:
            if rows.warning.code == "UNREACHABLE":
                yield NotAsked(cloud="gcp", place=f"{kind.command} in {_last(place)}", reason=rows.warning.message)
            for row in getattr(rows, kind.rows):
                yield _made(session, kind, row, _last(place))
    else:
        for row in session.rows(client.list, project=session.project):
            yield _made(session, kind, row, "")


def _made(session: GoogleSession, kind: GoogleKind, row: Any, place: str) -> CloudResource:
    name = next(name for name, each in KINDS.items() if each is kind)
    tags = dict(getattr(row, "labels", None) or {}) or described(row.description)
    where = f" --{kind.place} {place}" if place and place != "global" else ""
    command = f"gcloud compute {kind.command} delete {row.name}{where} --project {session.project} --quiet"
    item = _resource(name, row.name, place, tags=tags, created=row.creation_timestamp, command=command)
    return _priced(item, row)


def _priced(item: CloudResource, row: Any) -> CloudResource:
    region = region_of(item.region)
    if item.kind == "instance":
        kind, spot = _last(row.machine_type), row.scheduling.provisioning_model == "SPOT"
        usd = machine_usd("gcp", region, kind, "spot" if spot else "on_demand")
        runs = row.status not in {"TERMINATED", "STOPPED", "SUSPENDED"}
        return replace(item, usd_per_hour=usd if runs else 0.0, note=f"{kind}{' spot' if spot else ''}")
    if item.kind == "disk":
        price = DISKS.get(_last(row.type_), "")
        return replace(item, usd_per_hour=disk_usd("gcp", region, price, row.size_gb))
    if item.kind == "address":
        external = row.address_type != "INTERNAL"
        return replace(item, usd_per_hour=extra_usd("gcp", region, "public_ipv4_unused") if external else 0.0)
    if item.kind in {"forwarding-rule", "router"}:
        return replace(item, usd_per_hour=None)
    return item


def _clusters(session: GoogleSession) -> Iterator[CloudResource | NotAsked]:
    said = session.rest("GET", "container", f"v1/projects/{session.project}/locations/-/clusters")
    for zone in said.get("missingZones") or ():
        yield NotAsked(cloud="gcp", place=f"container in {zone}", reason="GKE doesn't answer for this zone")
    for row in said.get("clusters") or ():
        name, place = row["name"], row["location"]
        command = f"gcloud container clusters delete {name} --location {place} --project {session.project} --quiet"
        item = _resource(
            "cluster", name, place, tags=row.get("resourceLabels") or {}, created=row["createTime"], command=command
        )
        yield replace(item, usd_per_hour=extra_usd("gcp", region_of(place), "k8s_control_plane"))


def _buckets(session: GoogleSession) -> Iterator[CloudResource]:
    for row in session.rest_pages("storage", "storage/v1/b", "items", project=session.project):
        name, tags, created = row["name"], row.get("labels") or {}, row["timeCreated"]
        command = f"gcloud storage rm --recursive gs://{name}"
        item = _resource("bucket", name, row["location"].lower(), tags=tags, created=created, command=command)
        yield replace(item, usd_per_hour=None, holds_data=True)


def _accounts(session: GoogleSession) -> Iterator[CloudResource]:
    """Accounts of nodes and pods.  Google doesn't say since when they are."""
    for row in session.rest_pages("iam", f"v1/projects/{session.project}/serviceAccounts", "accounts"):
        email, tags = row["email"], described(row.get("description", ""))
        command = f"gcloud iam service-accounts delete {email} --project {session.project} --quiet"
        yield _resource("service-account", email, "", tags=tags, created="", command=command)


def _last(path: str) -> str:
    """`us-central1-a` of `…/zones/us-central1-a`."""
    return path.rpartition("/")[2]
