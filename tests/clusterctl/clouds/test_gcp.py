"""Google Cloud through its own libraries, against a server of ours that answers in its formats."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google_server import PROJECT, Google, account, serve

from clusterctl.clouds import cloud_of
from clusterctl.clouds.base import Cloud, CloudUnreachable, CredentialsExpired, CredentialsMissing, InUse, NotAllowed
from clusterctl.fleet.outputs import FleetOutputs, FleetPool
from planners.plan.value import Plan, Pool
from planners.tags import cloud_tags, description

LABELS = cloud_tags("gcp", {"run": "run-1", "owner": "me"})
HERS = cloud_tags("gcp", {"run": "run-2", "owner": "her"})
ZONE, REGION = "us-central1-a", "us-central1"


@pytest.fixture(scope="module")
def google_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making a key takes a second."""
    return Path(account(tmp_path_factory.mktemp("google"), "URL"))


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, google_file: Path) -> Iterator[Google]:
    google = Google()
    server = serve(google)
    url = f"http://127.0.0.1:{server.server_port}"
    (tmp_path / "account.json").write_text(google_file.read_text().replace("URL", url))
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "CLOUDSDK_"))]:
        monkeypatch.delenv(name)
    for service in ("COMPUTE", "CONTAINER", "STORAGE", "CLOUDQUOTAS", "IAM"):
        monkeypatch.setenv(f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{service}", f"{url}/")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    yield google
    server.shutdown()
    server.server_close()


@pytest.fixture
def cloud(google: Google) -> Cloud:
    return cloud_of("gcp")


def fill(google: Google) -> None:
    for number, labels in enumerate((LABELS, LABELS, HERS)):
        google.add(
            "instances",
            f"zones/{ZONE}",
            f"node-{number}",
            labels=labels | {"goog-k8s-cluster-name": "run-1", "goog-k8s-node-pool-name": "gpu"},
            machineType=f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones/{ZONE}/machineTypes/a3-highgpu-8g",
            status="RUNNING",
            scheduling={"provisioningModel": "SPOT" if number else "STANDARD"},
        )
    google.add(
        "disks", f"zones/{ZONE}", "disk", labels=LABELS, sizeGb="100", type=f"zones/{ZONE}/diskTypes/pd-balanced"
    )
    google.add("addresses", f"regions/{REGION}", "address", labels=LABELS, addressType="EXTERNAL")
    google.add("networks", "global", "run-1", description=description(LABELS))
    google.add("networks", "global", "other", description="made by hand, x=y")
    google.add("subnetworks", f"regions/{REGION}", "nodes", description=description(LABELS), uses="run-1")
    google.add("routers", f"regions/{REGION}", "nat", description=description(LABELS), uses="run-1")
    google.clusters["run-1"] = {
        "name": "run-1",
        "location": ZONE,
        "status": "RUNNING",
        "createTime": "2026-11-30T12:00:00+00:00",
        "resourceLabels": LABELS,
        "nodePools": [
            {
                "name": "gpu",
                "status": "RUNNING",
                "instanceGroupUrls": [
                    f"https://x/compute/v1/projects/{PROJECT}/zones/{ZONE}/instanceGroupManagers/gpu"
                ],
            }
        ],
    }
    google.groups["gpu"] = {
        "name": "gpu",
        "targetSize": 0,
        "zone": f"https://x/zones/{ZONE}",
        "status": {"isStable": False},
    }
    for name, text in (("nodes@x", description(LABELS)), ("other@x", "made by hand")):
        google.accounts[name] = {"email": name, "description": text}
    google.buckets["results"] = {
        "name": "results",
        "location": "US-CENTRAL1",
        "labels": LABELS,
        "timeCreated": "2026-11-30T12:00:00.000Z",
    }
    google.objects["results"] = [{"name": "a/b", "generation": str(number)} for number in range(3)]


def test_everything_of_one_owner_is_found_and_removed(google: Google, cloud: Cloud) -> None:
    fill(google)
    assert cloud.identity() == PROJECT
    assert list(cloud.regions()) == [REGION]
    found = cloud.resources(None, "me")
    kinds = [item.kind for item in found.resources]
    assert kinds == [
        "cluster",
        "instance",
        "instance",
        "router",
        "address",
        "disk",
        "subnetwork",
        "network",
        "service-account",
        "bucket",
    ]
    assert found.not_asked == ()
    by_id = {item.id: item for item in found.resources}
    assert by_id["node-0"].note == "a3-highgpu-8g"
    assert by_id["node-1"].note == "a3-highgpu-8g spot"
    assert by_id["node-0"].usd_per_hour == pytest.approx(88.5, rel=0.1)
    assert by_id["node-0"].since == datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert by_id["disk"].usd_per_hour == pytest.approx(100 * 0.1 / 730, rel=0.05)
    assert (
        by_id["node-0"].command == f"gcloud compute instances delete node-0 --zone {ZONE} --project {PROJECT} --quiet"
    )
    assert by_id["results"].holds_data
    assert [item.id for item in cloud.resources(["europe-west4"], "me").resources if item.region] == []
    assert cloud.resources([ZONE], "me").resources == found.resources  # a zone stands for its region
    with pytest.raises(InUse):
        cloud.remove(next(item for item in found.resources if item.kind == "network"))
    for item in found.resources:
        cloud.remove(item)
    assert cloud.resources(None, "me").resources == ()
    for item in found.resources:
        cloud.remove(item)
    assert {item.owner for item in cloud.resources(None, None).resources} == {"her"}


def test_a_service_or_a_zone_that_does_not_say_is_named_and_the_rest_is_found(google: Google, cloud: Cloud) -> None:
    fill(google)
    google.refuse["/v1/.*/clusters"] = [403]
    google.unreachable = "zones/us-east1-b"
    found = cloud.resources(None, "me")
    places = {place.place for place in found.not_asked}
    assert "container" in places
    assert "instances in us-east1-b" in places
    assert {"instance", "bucket", "network"} <= {item.kind for item in found.resources}
    google.unreachable, google.missing_zones = "", ["us-east1-b"]
    assert [place.place for place in cloud.resources(None, "me").not_asked] == ["container in us-east1-b"]


def test_throttled_calls_are_made_again(google: Google, cloud: Cloud) -> None:
    fill(google)
    google.refuse = {"/compute/v1/projects/.*/aggregated/instances": [429, 429, 503], "/storage": [429, 503]}
    found = cloud.resources(None, "me")
    assert found.not_asked == ()
    assert {"instance", "bucket"} <= {item.kind for item in found.resources}


@pytest.mark.parametrize(("code", "kind"), [(403, NotAllowed), (401, CredentialsExpired)])
def test_who_may_not_ask_is_told(google: Google, cloud: Cloud, code: int, kind: type[Exception]) -> None:
    google.refuse["/compute"] = [code] * 9
    with pytest.raises(kind, match="Google Cloud: "):
        cloud.identity()


@pytest.mark.usefixtures("google")
def test_missing_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    with pytest.raises(CredentialsMissing) as caught:
        cloud_of("gcp").identity()
    assert "gcloud auth application-default login" in str(caught.value.hint)


def test_a_cloud_that_does_not_answer_is_unreachable(
    google: Google, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", "http://127.0.0.1:1/")
    with pytest.raises(CloudUnreachable):
        cloud.identity()


POOL = FleetPool(
    pool_id="p", name="gpu-pool", group="gpu", most_nodes=4, instance_type="a3-highgpu-8g", capacity_type="spot"
)
FLEET = FleetOutputs(
    cloud="gcp",
    region=REGION,
    zone=ZONE,
    cluster="run-1",
    endpoint="https://x",
    namespace="n",
    service_account="s",
    account=PROJECT,
    pools=(POOL,),
)


def test_machines_size_and_problems_of_a_pool(google: Google, cloud: Cloud) -> None:
    fill(google)
    live = cloud.instances(FLEET)
    assert [(each.id, each.pool, each.zone, each.spot, each.ready) for each in live] == [
        ("node-0", "gpu-pool", ZONE, False, True),
        ("node-1", "gpu-pool", ZONE, True, True),
        ("node-2", "gpu-pool", ZONE, True, True),
    ]
    cloud.resize(FLEET, POOL, 3)
    cloud.resize(FLEET, POOL, 3)
    assert google.groups["gpu"]["targetSize"] == 3
    assert sum("setSize" in asked for asked in google.asked) == 1
    assert cloud.pool_problem(FLEET, POOL) == ""
    error = {"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "does not have enough resources"}
    old = {"error": {"code": "OLD", "message": "long ago"}, "timestamp": "2020-01-01T00:00:00.000-08:00"}
    google.group_errors = [{"error": error, "timestamp": datetime.now(tz=UTC).isoformat()}, old]
    assert cloud.pool_problem(FLEET, POOL) == "ZONE_RESOURCE_POOL_EXHAUSTED: does not have enough resources"
    google.clusters["run-1"]["status"] = "RECONCILING"
    with pytest.raises(InUse):
        cloud.resize(FLEET, POOL, 0)


def test_quotas(google: Google, cloud: Cloud) -> None:
    google.quotas = [
        {"metric": "PREEMPTIBLE_NVIDIA_H100_GPUS", "limit": 8, "usage": 8},
        {"metric": "CPUS", "limit": 100, "usage": 4},
    ]
    google.project_quotas = [{"metric": "GPUS_ALL_REGIONS", "limit": 0, "usage": 0}]
    google.family_limits = [
        {"dimensions": {"gpu_family": "NVIDIA_H100"}, "applicableLocations": [REGION], "details": {"value": "16"}}
    ]
    asked = {"id": "x", "role": "trainer", "cloud": "gcp", "region": REGION, "hours": 1, "usd": None, "stage": "rl"}
    asked |= {"usd_per_node_hour": None, "price_as_of": None, "price_source": "", "gpus_per_node": 8, "gpu": "H100"}
    plan = Plan.model_construct(
        pools=(
            Pool(**asked, instance_type="a3-highgpu-8g", capacity_type="spot", nodes=1),
            Pool(**asked, instance_type="a3-highgpu-8g", capacity_type="on_demand", nodes=3),
            Pool(**asked | {"gpu": None}, instance_type="n1-standard-8", capacity_type="on_demand", nodes=2),
        )
    )
    found = {quota.name: quota for quota in cloud.quotas(plan)}
    spot, family, everywhere = (
        found[name] for name in ("PREEMPTIBLE_NVIDIA_H100_GPUS", "NVIDIA_H100", "GPUS_ALL_REGIONS")
    )
    assert (spot.limit, spot.used, spot.asked, spot.is_short) == (8, 8, 8, True)
    assert (family.limit, family.asked, family.is_short) == (16, 24, True)
    assert (everywhere.asked, everywhere.is_short) == (32, True)
    assert not found["CPUS"].is_short
    assert family.request.endswith("--dimensions=region=us-central1,gpu_family=NVIDIA_H100")
