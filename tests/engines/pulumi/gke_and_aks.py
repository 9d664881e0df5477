"""The fake cloud of cloud.py as GKE and Compute Engine, or AKS and its scale sets, answer over HTTP, so that the product's own
clients resize pools that Pulumi has made, and see their machines.  Neither shows a machine that has ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "clusterctl" / "clouds"))

import azure_server  # found by the path above
import google_server
from cloud import Cloud, Held
from eks_facade import paid_from
from google_server import PROJECT, Google

ZONE, CLUSTER, NODES = "us-central1-a", "goog-k8s-cluster-name", "nodes"
PLUGIN_PROJECT, PLUGIN_SUBSCRIPTION = "project-1", "sub-1"
"""As plugin.py says who asks."""


@dataclass
class Pools:
    """Pools by the cloud's own name, and all machines that they have had."""

    cloud: Cloud
    name: str
    """Property of a pool that has its name."""
    size: str
    """Property that says how many nodes it has."""
    machines: dict[str, dict[str, Any]] = field(default_factory=dict)

    def held(self, name: str) -> Held:
        (found,) = [held for held in self.cloud.held() if held.properties.get(self.name) == name]
        return found

    def resize(self, name: str, nodes: int) -> None:
        """At the next whole second."""
        held = self.held(name)
        time.sleep(1.0 - time.time() % 1.0)
        now = float(round(time.time()))
        paid_from(self.cloud, held, {**held.properties, self.size: nodes}, now)
        live = self.live(name)
        for identity in list(live)[nodes:]:
            self.machines[identity]["until"] = now
        for _ in range(nodes - len(live)):
            identity = f"node-{len(self.machines) + 1}"
            self.machines[identity] = {"pool": name, "since": now, "until": None}

    def live(self, name: str = "") -> dict[str, dict[str, Any]]:
        return {i: row for i, row in self.machines.items() if row["until"] is None and name in {"", row["pool"]}}


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()


class Gke(Google):
    """One project."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.pools = Pools(cloud, "name", "nodeCount")

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        return super().answer(method, path.replace(f"projects/{PLUGIN_PROJECT}", f"projects/{PROJECT}"), query, body)

    def _aggregated(self, kind: str, query: dict[str, str]) -> Any:
        if kind == "instances":
            self.things = {key: row for key, row in self.things.items() if key[0] != "instances"}
            for identity, row in self.pools.live().items():
                labels = {CLUSTER: query["filter"].rpartition("=")[2], "goog-k8s-node-pool-name": row["pool"]}
                self.add(
                    "instances",
                    f"zones/{ZONE}",
                    identity,
                    labels=labels,
                    status="RUNNING",
                    creationTimestamp=moment(row["since"]),
                    scheduling={"provisioningModel": "STANDARD"},
                )
        return super()._aggregated(kind, query)

    def _container(self, method: str, path: str, body: Any) -> Any:
        if "nodePools/" not in path:
            return super()._container(method, path, body)
        name = path.rpartition("nodePools/")[2].removesuffix(":setSize")
        if path.endswith(":setSize"):
            self.pools.resize(name, body["nodeCount"])
            return {"name": "operation"}
        nodes = self.pools.held(name).properties["nodeCount"]
        self.groups[name] = {
            "name": name,
            "zone": f"zones/{ZONE}",
            "targetSize": int(nodes),
            "status": {"isStable": True},
        }
        url = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{ZONE}/instanceGroupManagers/{name}"
        return {"name": name, "status": "RUNNING", "instanceGroupUrls": [url]}


class Aks(azure_server.Subscription):
    """One subscription."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.pools = Pools(cloud, "name", "count")

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Any:
        path = path.replace(f"/subscriptions/{PLUGIN_SUBSCRIPTION}", azure_server.ROOT)
        where, _, name = path.partition("/agentPools/")
        if name:
            if method == "PUT":
                self.pools.resize(name, body["properties"]["count"])
            count = int(self.pools.held(name).properties["count"])
            return {"properties": {"count": count, "provisioningState": "Succeeded"}}
        if "/managedClusters/" in where:
            return {"properties": {"nodeResourceGroup": NODES}}
        if path.endswith("/instanceView"):
            return {"statuses": []}
        return super().answer(method, path, query, body)

    def _listing(self, path: str, query: dict[str, str]) -> list[dict[str, Any]] | None:
        if path.endswith("/virtualmachinescalesets"):
            names = sorted({row["pool"] for row in self.pools.machines.values()})
            return [
                {"id": f"{azure_server.ROOT}/{name}", "tags": {"aks-managed-poolName": name}, "properties": {}}
                for name in names
            ]
        if path.endswith("/virtualmachines"):
            live = self.pools.live(path.split("/")[-2])
            view = {"statuses": [{"code": "PowerState/running"}]}
            return [
                {"id": i, "properties": {"timeCreated": moment(row["since"]), "instanceView": view}}
                for i, row in live.items()
            ]
        return super()._listing(path, query)


@contextmanager
def serving_google(cloud: Cloud, folder: Path) -> Iterator[tuple[Pools, Mapping[str, str]]]:
    """Its pools, and the environment of who asks it."""
    google = Gke(cloud)
    server = google_server.serve(google)
    url = f"http://127.0.0.1:{server.server_port}"
    names = ("COMPUTE", "CONTAINER", "STORAGE", "CLOUDQUOTAS", "IAM")
    said = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{url}/" for name in names}
    try:
        yield (
            google.pools,
            said | {"GOOGLE_APPLICATION_CREDENTIALS": google_server.account(folder, url), "NO_GCE_CHECK": "true"},
        )
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serving_azure(cloud: Cloud) -> Iterator[tuple[Pools, Mapping[str, str]]]:
    """Its pools, and the environment of who asks it."""
    subscription = Aks(cloud)
    server = azure_server.serve(subscription)
    said = {
        "CLUSTERCTL_AZURE_ENDPOINT": subscription.url,
        "AZURE_SUBSCRIPTION_ID": azure_server.SUBSCRIPTION,
        "IDENTITY_ENDPOINT": f"{subscription.url}/msi/token",
        "IDENTITY_HEADER": "secret",
    }
    try:
        yield subscription.pools, said
    finally:
        server.shutdown()
        server.server_close()
