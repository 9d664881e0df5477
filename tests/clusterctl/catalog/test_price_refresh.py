"""`prices refresh` against local servers in the real formats: what becomes a price, and what never touches the book."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path

import fake_clouds as fake
import httpx
import polars as pl
import pytest
from fake_clouds import Reply

from clusterctl.catalog.book_folder import embedded_dir, refreshed_dir
from clusterctl.catalog.price_book import load_book
from clusterctl.catalog.refresh import refresh_book
from clusterctl.catalog.refresh.refresh_book import RefreshReport
from clusterctl.errors import ClusterctlError, PriceError, StateError
from planners.plan.unit_prices import ITEMS, ExtraPrices

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TODAY = date(2026, 11, 23)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)


@pytest.fixture
def pauses() -> list[float]:
    """Seconds that the program wanted to sleep; nobody sleeps."""
    return []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., contextmanager[fake.FakeCloud]]:
    """Serve a cloud and point the program at it."""

    @contextmanager
    def serving(cloud: str, answer: Callable[[fake.Request], Reply]) -> Iterator[fake.FakeCloud]:
        with fake.serve(answer) as server:
            monkeypatch.setenv(f"CLUSTERCTL_{cloud.upper()}_PRICES_URL", server.url)
            if cloud == "gcp":
                monkeypatch.setenv("GOOGLE_API_KEY", "sesame-7f3a")
            yield server

    return serving


def refresh(*clouds: str, pauses: list[float], **asked: object) -> RefreshReport:
    return refresh_book.refresh(clouds, now=NOW, sleep=pauses.append, **asked)  # type: ignore[arg-type]


def price(**key: str | None) -> float:
    rows = load_book().prices()
    for column, value in key.items():
        rows = rows.filter(pl.col(column).eq_missing(value))
    assert rows.height == 1, rows
    return float(rows["usd_per_hour"][0])


def books() -> list[str]:
    return sorted(found.name for found in refreshed_dir().glob("prices-*"))


# --- what the formats mean -------------------------------------------------------------------------------------------


def test_aws_csv_becomes_prices(served, pauses) -> None:
    body = fake.aws_csv(
        fake.aws_row("p5.48xlarge", "50.0000000000"),
        fake.aws_row("p5.48xlarge", "99.0", **{"Operating System": "Windows"}),
        fake.aws_row("p5.48xlarge", "98.0", Tenancy="Dedicated"),
        fake.aws_row("p5.48xlarge", "97.0", CapacityStatus="UnusedCapacityReservation"),
        fake.aws_row("p5.48xlarge", "96.0", **{"Pre Installed S/W": "SQL Std"}),
        fake.aws_row("p5.48xlarge", "95.0", **{"Location Type": "AWS Local Zone"}),
        fake.aws_row("p5e.48xlarge", "0.0000000000"),
        fake.aws_row("p9.96xlarge", "150.0", GPU="8"),
        fake.reserved("p5.48xlarge", "30.0"),
        fake.reserved("p5.48xlarge", "87600", option="All Upfront", unit="Quantity"),
        fake.reserved("c7g.2xlarge", "8760", lease="3yr", option="All Upfront", unit="Quantity"),
        fake.reserved("c7g.2xlarge", "0.0", lease="3yr", option="All Upfront"),
    )
    with served("aws", fake.aws_answers({"us-east-1": body, "us-gov-west-1": body})):
        report = refresh("aws", pauses=pauses)
    key = {"cloud": "aws", "region": "us-east-1", "zone": None}
    assert price(**key, instance_type="p5.48xlarge", capacity_type="on_demand") == 50.0
    assert price(**key, instance_type="p5.48xlarge", capacity_type="reserved_1y") == 30.0
    assert price(**key, instance_type="c7g.2xlarge", capacity_type="reserved_3y") == pytest.approx(
        8760 / 26280, abs=1e-6
    )
    (changes,) = report.changes
    assert (changes.num_read, changes.num_cheaper) == (3, 1)
    assert any("p9.96xlarge" in note for note in changes.notes)
    assert any("spot" in note for note in changes.notes)
    rows = load_book().prices()
    assert rows.filter(pl.col("region") == "us-gov-west-1").is_empty()
    assert rows.filter(pl.col("source") == f"aws-price-list@{TODAY}")["as_of"].unique().to_list() == [TODAY]
    offers = load_book().offers(["aws"], instance_types=["p5e.48xlarge"], capacity_types=["on_demand"])
    assert offers["usd_per_hour"].to_list() == [None], "a list price of 0 is not a price"


def test_aws_region_that_was_read_replaces_old_prices_and_others_stay(served, pauses) -> None:
    old = load_book().all_prices().filter(cloud="aws")
    with served("aws", fake.aws_answers({"us-east-1": fake.aws_csv(fake.aws_row("p5.48xlarge", "55.04"))})):
        report = refresh("aws", pauses=pauses)
    new = load_book().all_prices().filter(cloud="aws")
    here = (pl.col("region") == "us-east-1") & (pl.col("capacity_type") == "on_demand")
    assert new.filter(here).height == 1
    assert new.filter(~here).sort(new.columns).equals(old.filter(~here).sort(new.columns))
    (changes,) = report.changes
    assert changes.num_removed == old.filter(here).height - 1
    assert changes.num_kept_old == old.filter(~here).height
    gone = load_book().history().filter(instance_type="c6i.large", region="us-east-1")
    assert gone.height > 0, "what is gone stays in the history"


def extra_row(usd: str, usage: str, **cells: str) -> list[str]:
    return fake.aws_row("", usd, usageType=usage, operation="", **{"Operating System": "", "Tenancy": ""} | cells)


def test_aws_disks_nat_storage_control_planes_and_egress_are_renewed_too(served, pauses) -> None:
    disk = {"Product Family": "Storage", "Volume API Name": "gp3", "Unit": "GB-Mo"}
    nat, s3, eks = ({"Product Family": name} for name in ("NAT Gateway", "Storage", "Compute"))
    out = {"Product Family": "Data Transfer", "Transfer Type": "AWS Outbound"}
    machines = fake.aws_csv(
        fake.aws_row("p5.48xlarge", "50.0"),
        extra_row("0.088", "EUW2-EBS:VolumeUsage.gp3", **disk),
        extra_row("0.2", "EUW2-EBS:VolumeUsage.gp3", **disk | {"Location Type": "AWS Local Zone"}),
        extra_row("0.3", "EUW2-EBS:VolumeUsage.gp2", **disk | {"Volume API Name": "gp2"}),
        extra_row("0.05", "EUW2-NatGateway-Hours", **nat),
        extra_row("0.09", "EUW2-RegionalNatGateway-Hours", **nat),
        extra_row("0.051", "NatGateway-Bytes", Unit="GB", **nat),
    )
    objects = fake.aws_csv(
        extra_row("0.024", "EUW2-TimedStorage-ByteHrs", EndingRange="51200", **s3),
        extra_row("0.023", "EUW2-TimedStorage-ByteHrs", StartingRange="51200", EndingRange="512000", **s3),
        extra_row("0.0131", "EUW2-TimedStorage-SIA-ByteHrs", EndingRange="51200", **s3),
    )
    clusters = fake.aws_csv(
        extra_row("0.10", "EUW2-AmazonEKS-Hours:perCluster", **eks),
        extra_row("0.50", "EUW2-AmazonEKS-Hours:extendedSupport", **eks),
    )
    egress = fake.aws_csv(
        extra_row("0.09", "EUW2-DataTransfer-Out-Bytes", EndingRange="10240", **out),
        extra_row("0.07", "EUW2-DataTransfer-Out-Bytes", StartingRange="51200", EndingRange="153600", **out),
        extra_row("0.02", "EUW2-USE1-AWS-Out-Bytes", EndingRange="10240", **out | {"Transfer Type": "InterRegion"}),
    )
    services = {"AmazonS3": objects, "AmazonEKS": clusters, "AWSDataTransfer": egress}
    answer = fake.aws_answers(
        {"eu-west-2": machines}, **{service: {"eu-west-2": body} for service, body in services.items()}
    )
    before = load_book().extras()
    with served("aws", answer):
        report = refresh("aws", pauses=pauses)
    book = load_book().extras()
    read = book.filter(pl.col("as_of") == TODAY)
    assert set(read.select("region", "verified", "source").rows()) == {("eu-west-2", "read", f"aws-price-list@{TODAY}")}
    assert dict(read.select("item", "usd").rows()) == {
        "block_gp3_storage": 0.088,
        "nat_gateway_hour": 0.05,
        "nat_gateway_data": 0.051,
        "object_storage_standard_first_50tb": 0.024,
        "k8s_control_plane_standard_support": 0.1,
        "internet_egress_first_10tb": 0.09,
    }
    assert before.join(book, on=before.columns, how="anti", nulls_equal=True).is_empty(), "other regions keep theirs"
    said = report.changes[0].notes
    assert "6 prices beside machines read: disks, NAT, object storage, control planes, egress" in said
    assert not any("left as they were: aws" in note for note in said)
    planned = [ExtraPrices(book).find(what, "aws", "eu-west-2") for what in ITEMS if what != "system node"]
    assert {each.as_of for each in planned} == {TODAY}, "every line of a plan beside machines is dated anew"


def test_azure_disks_nat_storage_control_planes_and_egress_are_renewed_too(served, pauses) -> None:
    def meter(service: str, product: str, name: str, usd: float, **fields: object) -> dict[str, object]:
        words = {"serviceName": service, "productName": product, "meterName": name}
        return fake.azure_item("", usd, **words | fields)

    blob, nat = ("Storage", "General Block Blob v2", "Hot LRS Data Stored"), ("NAT Gateway", "NAT Gateway")
    out = ("Bandwidth", "Rtn Preference: MGN", "Standard Data Transfer Out")
    items = [
        fake.azure_item("Standard_ND96isr_H100_v5", 90.0),
        meter(
            "Storage", "Azure Premium SSD v2", "Premium LRS Provisioned Capacity", 0.0001, unitOfMeasure="1 GiB/Hour"
        ),
        meter("Storage", "Azure Premium SSD v2", "Premium LRS Provisioned IOPS", 0.5),
        meter(*blob, 0.0191, tierMinimumUnits=51200.0),
        meter(*blob, 0.02),
        meter(*blob, 0.019, armRegionName="usgovvirginia"),
        meter(*blob, 0.001, effectiveStartDate="2027-01-01T00:00:00Z"),
        meter("Storage", "Blob Storage", "Hot LRS Data Stored", 9.0),
        meter("Azure Kubernetes Service", "Azure Kubernetes Service", "Standard Uptime SLA", 0.11),
        meter(*nat, "Standard Gateway", 0.046, armRegionName="Global"),
        meter(*nat, "Standard Data Processed", 0.047, armRegionName="Global"),
        meter(*out, 0.0),
        meter(*out, 0.088, tierMinimumUnits=100.0),
        meter(*out, 0.07, tierMinimumUnits=51200.0),
        meter(*out, 0.01, type="DevTestConsumption"),
    ]

    def answer(request: fake.Request) -> Reply:
        return fake.as_json(fake.azure_page(items))

    with served("azure", answer) as server:
        report = refresh("azure", pauses=pauses)
    assert any(
        "serviceName eq 'NAT Gateway' and meterName eq 'Standard Gateway'" in str(r.query) for r in server.requests
    )
    read = load_book().extras().filter(pl.col("as_of") == TODAY)
    assert {row[:2]: pytest.approx(row[2]) for row in read.select("region", "item", "usd").rows()} == {
        ("eastus", "block_premium_ssd_v2_storage"): 0.073,
        ("eastus", "object_storage_hot_lrs_first_50tb"): 0.02,
        ("eastus", "k8s_control_plane_standard"): 0.11,
        ("*", "nat_gateway_hour"): 0.046,
        ("*", "nat_gateway_data"): 0.047,
        ("eastus", "internet_egress_100gb_to_10tb"): 0.088,
    }
    assert not any("left as they were" in note for note in report.changes[0].notes)


def test_a_meter_that_azure_answers_wrongly_keeps_its_old_price_and_is_said(served, pauses) -> None:
    page = fake.azure_page([fake.azure_item("Standard_ND96isr_H100_v5", 90.0)])

    def answer(request: fake.Request) -> Reply:
        return fake.as_json({"Items": 1} if "NAT Gateway" in str(request.query) else page)

    old = load_book().extras()
    with served("azure", answer):
        report = refresh("azure", pauses=pauses)
    assert load_book().extras().equals(old)
    said = report.changes[0].notes
    assert [note.partition(" left")[0] for note in said] == ["prices of nat_gateway_hour", "prices of nat_gateway_data"]


def test_a_list_beside_machines_that_aws_does_not_serve_keeps_old_prices_and_is_said(served, pauses) -> None:
    old = load_book().extras()
    with served("aws", fake.aws_answers({"us-east-1": fake.aws_csv(fake.aws_row("p5.48xlarge", "50.0"))})):
        report = refresh("aws", pauses=pauses)
    assert load_book().extras().equals(old)
    said = [note for note in report.changes[0].notes if "left as they were: " in note]
    assert [note.split()[2] for note in said if note.startswith("prices of")] == [
        "AmazonS3",
        "AmazonEKS",
        "AWSDataTransfer",
    ]


def test_azure_pages_become_prices(served, pauses) -> None:
    sku = "Standard_ND96isr_H100_v5"
    first = [
        fake.azure_item(sku, 90.0),
        fake.azure_item(sku, 111.0, productName="Virtual Machines Series Windows"),
        fake.azure_item(sku, 33.0, meterName="ND96isr H100 v5 Low Priority"),
        fake.azure_item(sku, 22.0, meterName="ND96isr H100 v5 Spot"),
        fake.azure_item(sku, 1.0, type="DevTestConsumption"),
        fake.azure_item(sku, 12.0, effectiveStartDate="2027-01-01T00:00:00Z"),
    ]
    second = [
        fake.azure_item(sku, 438000.0, type="Reservation", reservationTerm="1 Year"),
        fake.azure_item(sku, 91.5, effectiveStartDate="2026-06-01T00:00:00Z"),
        fake.azure_item(sku, 120.0, region="usgovvirginia"),
    ]

    def answer(request: fake.Request) -> Reply:
        if "$skip" in request.query:
            return fake.as_json(fake.azure_page(second))
        if sku in request.query["$filter"]:
            return fake.as_json(
                fake.azure_page(first, f"http://{request.headers['host']}/api/retail/prices?$skip=1000")
            )
        return fake.as_json(fake.azure_page([]))

    with served("azure", answer) as server:
        report = refresh("azure", pauses=pauses)
    key = {"cloud": "azure", "region": "eastus", "zone": None, "instance_type": sku}
    assert price(**key, capacity_type="on_demand") == 91.5, "the price that took effect last"
    assert price(**key, capacity_type="spot") == 22.0
    assert price(**key, capacity_type="reserved_1y") == 50.0
    assert report.changes[0].num_read == 3
    assert {request.path for request in server.requests} == {"/api/retail/prices"}
    others = load_book().prices().filter(cloud="azure", instance_type="Standard_D2s_v5")
    assert others.height > 0, "an instance type without an answer keeps its old prices"


def test_gcp_parts_are_summed(served, pauses) -> None:
    half = fake.a3_skus("Preemptible", 0.5)
    pages = {
        "": {"skus": fake.a3_skus(), "nextPageToken": "more"},
        "more": {
            "skus": [
                *half,
                fake.gcp_sku("Commitment v1: E2 Cpu in Americas for 1 Year", 0.0137, usage="Commit1Yr"),
                fake.gcp_sku("Commitment v1: E2 Ram in Americas for 1 Year", 0.0018, usage="Commit1Yr", unit="GiBy.h"),
                fake.gcp_sku("A4 Nvidia B200 (1 gpu slice) running in Americas", 10.0),
                fake.gcp_sku("N2 Custom Instance Core running in Americas", 5.0),
                fake.gcp_sku("Network Internet Egress from Americas to Africa", 0.12, unit="GiBy"),
            ],
            "nextPageToken": "",
        },
    }
    with served("gcp", lambda request: fake.as_json(pages[request.query.get("pageToken", "")])) as server:
        refresh("gcp", pauses=pauses)
    key = {"cloud": "gcp", "region": "us-central1", "zone": None}
    a3 = 208 * 0.03 + 1872 * 0.0025 + 8 * 9.8 + 6000 * 0.08 / 730
    assert price(**key, instance_type="a3-highgpu-8g", capacity_type="on_demand") == pytest.approx(a3, abs=1e-6)
    assert price(**key, instance_type="a3-highgpu-8g", capacity_type="spot") == pytest.approx(a3 / 2, abs=1e-6)
    e2_micro = 0.25 * 0.0137 + 1 * 0.0018
    assert price(**key, instance_type="e2-micro", capacity_type="reserved_1y") == pytest.approx(e2_micro, abs=1e-6)
    a4 = 8 * 10.0 + 12000 * 0.08 / 730
    assert price(**key, instance_type="a4-highgpu-8g", capacity_type="on_demand") == pytest.approx(a4, abs=1e-6)
    row = load_book().prices().filter(cloud="gcp", source=f"gcp-billing-catalog@{TODAY}")
    assert row["quality"].unique().to_list() == ["component_sum"]
    assert all(request.headers["x-goog-api-key"] == "sesame-7f3a" for request in server.requests)


def test_machine_with_a_part_that_has_no_price_keeps_its_old_price(served, pauses) -> None:
    no_ram = [sku for sku in fake.a3_skus() if "Ram" not in str(sku["description"])]
    e2 = [
        fake.gcp_sku("E2 Instance Core running in Americas", 0.02),
        fake.gcp_sku("E2 Instance Ram running in Americas", 0.003, unit="GiBy.h"),
    ]
    with served("gcp", lambda _: fake.as_json({"skus": [*no_ram, *e2]})):
        report = refresh("gcp", pauses=pauses)
    key = {"cloud": "gcp", "region": "us-central1", "zone": None, "capacity_type": "on_demand"}
    assert price(**key, instance_type="a3-highgpu-8g") == 88.49
    assert "no complete price" in report.changes[0].notes[0]


# --- failures: the old book stays ------------------------------------------------------------------------------------

E2 = [
    fake.gcp_sku("E2 Instance Core running in Americas", 0.02),
    fake.gcp_sku("E2 Instance Ram running in Americas", 0.003, unit="GiBy.h"),
]
D2 = fake.azure_item("Standard_D2s_v5", 0.1)
P5 = fake.aws_row("p5.48xlarge", "55.04")


def broken_sku(**fields: object) -> Reply:
    return fake.as_json({"skus": [E2[0] | fields]})


BROKEN = {
    "gcp truncated": ("gcp", Reply(body=b'{"skus": [{"name": "serv')),
    "gcp html": ("gcp", Reply(body=b"<html><body>502 Bad Gateway</body></html>")),
    "gcp nested too deep": ("gcp", Reply(body=b"[" * 100_000)),
    "gcp NaN": ("gcp", Reply(body=b'{"skus": NaN}')),
    "gcp list": ("gcp", fake.as_json([])),
    "gcp no skus": ("gcp", fake.as_json({})),
    "gcp skus of wrong type": ("gcp", fake.as_json({"skus": {"a": 1}})),
    "gcp sku is text": ("gcp", fake.as_json({"skus": ["a"]})),
    "gcp no regions": ("gcp", broken_sku(serviceRegions=None)),
    "gcp no pricing": ("gcp", broken_sku(pricingInfo=[])),
    "gcp category is a number": ("gcp", broken_sku(category=7)),
    "gcp token is a number": ("gcp", fake.as_json({"skus": E2, "nextPageToken": 5})),
    "gcp key refused": ("gcp", fake.as_json({"error": {"code": 403, "status": "PERMISSION_DENIED"}}, status=403)),
    "gcp circle": ("gcp", fake.as_json({"skus": E2, "nextPageToken": "again"})),
    "gcp moved": ("gcp", Reply(status=302, headers={"Location": "http://127.0.0.1:1/"})),
    "azure html": ("azure", Reply(body=b"<!DOCTYPE html>")),
    "azure no items": ("azure", fake.as_json({"BillingCurrency": "USD"})),
    "azure negative": ("azure", fake.as_json(fake.azure_page([D2 | {"retailPrice": -1.0}]))),
    "azure text price": ("azure", fake.as_json(fake.azure_page([D2 | {"retailPrice": "cheap"}]))),
    "azure huge price": ("azure", Reply(body=json.dumps(fake.azure_page([D2])).replace("0.1", "1e999").encode())),
    "azure no region": ("azure", fake.as_json(fake.azure_page([{k: v for k, v in D2.items() if k != "armRegionName"}]))),
    "azure other server": ("azure", fake.as_json(fake.azure_page([D2], "https://example.org/api/retail/prices?$skip=1"))),
    "azure link is a number": ("azure", fake.as_json(fake.azure_page([D2]) | {"NextPageLink": 3})),
    "azure 404": ("azure", Reply(status=404)),
    "aws no regions": ("aws", fake.as_json({"regions": {}})),
    "aws foreign path": ("aws", fake.as_json({"regions": {"us-east-1": {"currentVersionUrl": "http://example.org/x"}}})),
    "aws path upwards": ("aws", fake.as_json({"regions": {"us-east-1": {"currentVersionUrl": "/offers/../x/index.json"}}})),
}  # fmt: skip


@pytest.mark.parametrize(("cloud", "reply"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_answer_leaves_the_old_book(cloud: str, reply: Reply, served, pauses, capsys) -> None:
    before = load_book().book_id
    with served(cloud, lambda _: reply), pytest.raises(PriceError) as failure:
        refresh(cloud, pauses=pauses)
    assert failure.value.exit_code == 4
    assert "\n" not in failure.value.message
    assert "sesame" not in f"{failure.value.message} {failure.value.hint}"
    assert (books(), load_book().book_id) == ([], before)
    assert capsys.readouterr() == ("", "")


AWS_FILES = {
    "no header": b"hello\n",
    "empty": b"",
    "no price column": fake.aws_csv(header=[name for name in fake.AWS_HEADER if name != "PricePerUnit"]),
    "a column twice": fake.aws_csv(P5[:-3], header=["SKU", *fake.AWS_HEADER]),
    "endless line": b"SKU" + b"," * (3 << 20),
    "negative": fake.aws_csv(fake.aws_row("p5.48xlarge", "-5.0")),
    "text": fake.aws_csv(fake.aws_row("p5.48xlarge", "free")),
    "nan": fake.aws_csv(fake.aws_row("p5.48xlarge", "nan")),
    "short line": fake.aws_csv(P5, P5[:-3]),
    "not text": b"\xff\xfe" * 100,
    "endless field": fake.aws_csv(fake.aws_row("p5.48xlarge", "5.0", PriceDescription="x" * 300_000)),
}


@pytest.mark.parametrize("body", AWS_FILES.values(), ids=AWS_FILES.keys())
def test_broken_aws_file_leaves_the_old_book(body: bytes, served, pauses) -> None:
    with served("aws", fake.aws_answers({"us-east-1": body})), pytest.raises(PriceError):
        refresh("aws", pauses=pauses)
    assert books() == []


def test_damaged_gzip_leaves_the_old_book(served, pauses) -> None:
    good = fake.aws_answers({"us-east-1": fake.aws_csv(P5)})

    def answer(request: fake.Request) -> Reply:
        reply = good(request)
        damaged = reply.body[:30] + b"\0\0\0\0" + reply.body[34:]
        return reply if request.path.endswith(".json") else Reply(body=damaged, headers=reply.headers)

    with served("aws", answer), pytest.raises(PriceError, match="damaged"):
        refresh("aws", pauses=pauses)
    assert books() == []


# --- patience --------------------------------------------------------------------------------------------------------


def test_throttling_is_obeyed(served, pauses) -> None:
    def answer(request: fake.Request) -> Reply:
        waits = {0: {"Retry-After": "7"}, 1: {"Retry-After": "Fri, 01 Jan 1999 00:00:00 GMT"}, 2: {}}
        if request.number in waits:
            return Reply(status=429 if request.number else 503, headers=waits[request.number])
        return fake.as_json({"skus": E2})

    with served("gcp", answer):
        refresh("gcp", pauses=pauses)
    assert pauses[:2] == [7.0, 0.0]
    assert pauses[2] > 0


def test_a_long_retry_after_is_not_waited_for(served, pauses) -> None:
    with (
        served("gcp", lambda _: Reply(status=429, headers={"Retry-After": "86400"})),
        pytest.raises(PriceError, match="86400 s"),
    ):
        refresh("gcp", pauses=pauses)
    assert pauses == []


def test_a_broken_page_is_asked_for_again(served, pauses) -> None:
    def answer(request: fake.Request) -> Reply:
        whole = fake.as_json({"skus": E2})
        if request.number == 0:
            return Reply(body=whole.body, cut_after=40)
        return Reply(body=b"<html>") if request.number == 1 else whole

    with served("gcp", answer) as server:
        refresh("gcp", pauses=pauses)
    assert len(server.requests) == 3
    assert len(books()) == 1


@pytest.mark.parametrize(
    ("reply", "asked"),
    [(Reply(status=status), 1) for status in (400, 401, 403, 404, 410, 418, 501)]
    + [(Reply(body=b"<html>"), 2), (Reply(status=429), 5), (Reply(status=503), 5), (Reply(body=b"{}", cut_after=1), 5)],
)
def test_what_asking_again_does_not_mend_is_not_asked_again(reply: Reply, asked: int, served, pauses) -> None:
    with served("gcp", lambda _: reply) as server, pytest.raises(PriceError):
        refresh("gcp", pauses=pauses)
    assert len(server.requests) == asked
    assert len(pauses) == asked - 1


@pytest.mark.parametrize(
    ("cause", "said", "tries"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "the host is unknown", 1),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "the connection failed", 5),
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "its certificate or TLS is refused", 1),
        (ConnectionRefusedError(111, "refused"), "the connection failed", 5),
    ],
)
def test_connections_that_fail_for_good_are_not_tried_again(
    cause: Exception, said: str, tries: int, pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def refuse(*_: object, **__: object) -> None:
        tried.append(1)
        raise httpx.ConnectError(str(cause)) from cause

    monkeypatch.setattr(httpx.Client, "stream", refuse)
    monkeypatch.setenv("GOOGLE_API_KEY", "sesame-7f3a")
    with pytest.raises(PriceError, match=said):
        refresh("gcp", pauses=pauses)
    assert (len(tried), len(pauses)) == (tries, tries - 1)


def test_endless_pages_end(served, pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusterctl.catalog.refresh.gcp.MAX_PAGES", 20)
    with (
        served("gcp", lambda request: fake.as_json({"skus": E2, "nextPageToken": f"t{request.number}"})) as server,
        pytest.raises(PriceError, match="more than 20 pages"),
    ):
        refresh("gcp", pauses=pauses)
    assert len(server.requests) == 20


def test_a_huge_page_is_refused(served, pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clusterctl.catalog.refresh.transport.MAX_PAGE_BYTES", 100_000)
    body = json.dumps({"skus": E2, "padding": "x" * 10_000_000}).encode()
    with served("gcp", lambda _: Reply(body=body)), pytest.raises(PriceError, match="more than 100,000 bytes"):
        refresh("gcp", pauses=pauses)


def test_a_cut_download_continues_where_it_was(served, pauses) -> None:
    rows = [fake.aws_row(f"c7g.{size}xlarge", f"0.{size:03}") for size in (2, 4, 8, 12, 16)] * 40
    good = fake.aws_answers({"us-east-1": fake.aws_csv(P5, *rows)}, compressed=False)

    def answer(request: fake.Request) -> Reply:
        reply = good(request)
        if request.path.endswith(".json"):
            return reply
        return Reply(body=reply.body, status=reply.status, headers=reply.headers, cut_after=30_000)

    with served("aws", answer) as server:
        report = refresh("aws", pauses=pauses)
    assert report.changes[0].num_read == 6
    asked = [request.headers.get("range") for request in server.requests if request.path.endswith(".csv")]
    assert asked[0] is None
    starts = [int(span.removeprefix("bytes=").removesuffix("-")) for span in asked[1:] if span]
    assert starts == sorted(starts)
    assert len(starts) >= 2
    assert not list(refreshed_dir().glob("unfinished/*")), "nothing is left behind"


def test_a_rerun_continues_with_the_pages_it_has(served, pauses) -> None:
    files = {
        name: fake.aws_csv(fake.aws_row("p5.48xlarge", "51.0")) for name in ("eu-west-2", "us-east-1", "us-west-2")
    }
    good = fake.aws_answers(files)
    down = True

    def answer(request: fake.Request) -> Reply:
        return Reply(status=503) if down and "us-east-1" in request.path else good(request)

    with served("aws", answer) as server:
        with pytest.raises(PriceError, match="HTTP 503, 5 times in a row"):
            refresh("aws", pauses=pauses)
        assert books() == []
        first = len(server.requests)
        down = False
        refresh("aws", pauses=pauses)
        paths = [request.path for request in server.requests[first:] if request.path.endswith(".csv")]
    assert paths == [f"{fake.aws_path(name)}.csv" for name in ("us-east-1", "us-west-2")]


def test_a_new_version_of_a_file_begins_anew(served, pauses) -> None:
    whole = fake.aws_csv(P5, *[fake.aws_row("c7g.2xlarge", "0.3")] * 300)

    def answer(request: fake.Request) -> Reply:
        if request.path.endswith(".json"):
            return fake.aws_answers({"us-east-1": b""})(request)
        if request.number == 1:
            return Reply(body=whole, headers={"ETag": '"old"'}, cut_after=50_000)
        return fake.ranged(whole, request, etag='"new"')

    with served("aws", answer):
        refresh("aws", pauses=pauses)
    assert (
        price(cloud="aws", region="us-east-1", zone=None, instance_type="c7g.2xlarge", capacity_type="on_demand") == 0.3
    )


# --- books -----------------------------------------------------------------------------------------------------------


def test_report_and_merge_say_what_changed(served, pauses) -> None:
    body = fake.aws_csv(fake.aws_row("p5.48xlarge", "27.52"), fake.aws_row("p4d.24xlarge", "21.957642"))
    with served("aws", fake.aws_answers({"us-east-1": body})):
        report = refresh("aws", pauses=pauses)
    top = report.movers.row(0, named=True)
    assert (top["instance_type"], top["old_usd_per_hour"], top["usd_per_hour"]) == ("p5.48xlarge", 55.04, 27.52)
    assert top["change_ratio"] == pytest.approx(-0.5)
    old = load_book().history().filter(instance_type="p5.48xlarge", region="us-east-1", capacity_type="on_demand")
    assert (date(2026, 7, 20), 55.04) in old.select("as_of", "usd_per_hour").rows()
    assert report.book is not None
    assert report.book.name == "prices-2026-11-23T120000Z"
    assert load_book().priced_at[1] == TODAY


def test_dry_run_and_out(served, pauses, tmp_path: Path) -> None:
    with served("aws", fake.aws_answers({"us-east-1": fake.aws_csv(P5)})):
        assert refresh("aws", pauses=pauses, dry_run=True).book is None
        assert books() == []
        refresh("aws", pauses=pauses, out=tmp_path / "here")
    assert books() == []
    assert load_book(tmp_path / "here").prices().height > 1000
    with pytest.raises(PriceError, match="isn't an empty folder"):
        refresh("aws", pauses=pauses, out=tmp_path / "here")
    with pytest.raises(PriceError, match="inside the installed package"):
        refresh("aws", pauses=pauses, out=embedded_dir() / "new")


def test_the_key_is_written_nowhere(served, pauses, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with served("gcp", lambda _: fake.as_json({"skus": E2})) as server:
        refresh("gcp", pauses=pauses)
        assert all("sesame" not in request.path + str(request.query) for request in server.requests)
    assert "sesame" not in caplog.text
    written = [file.read_bytes() for file in (tmp_path / "home").rglob("*") if file.is_file()]
    assert written
    assert not any(b"sesame" in content for content in written)


def test_only_one_refresh_at_a_time(served, pauses) -> None:
    def answer(request: fake.Request) -> Reply:
        with pytest.raises(StateError, match="another"):
            refresh("gcp", pauses=pauses)
        return fake.as_json({"skus": E2})

    with served("gcp", answer):
        refresh("gcp", pauses=pauses)
    assert len(books()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "ftp://127.0.0.1",
        "https://",
        "https://user:pw@example.org",
        "http://127.0.0.1:x",
        "nonsense",
    ],
)
def test_base_url_must_be_https_or_this_machine(url: str, pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTERCTL_AZURE_PRICES_URL", url)
    with pytest.raises(PriceError, match="CLUSTERCTL_AZURE_PRICES_URL"):
        refresh("azure", pauses=pauses)


def test_google_needs_a_key(pauses) -> None:
    with pytest.raises(ClusterctlError, match="GOOGLE_API_KEY"):
        refresh("gcp", pauses=pauses)


def test_damaged_refreshed_book_is_replaced_by_a_refresh(served, pauses) -> None:
    folder = refreshed_dir() / "prices-2026-01-01T000000Z"
    folder.mkdir(parents=True)
    with pytest.raises(StateError):
        load_book()
    with served("aws", fake.aws_answers({"us-east-1": fake.aws_csv(P5)})):
        report = refresh("aws", pauses=pauses)
    assert "embedded" in report.notes[0]
    assert load_book().prices().height > 1000
