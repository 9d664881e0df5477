"""Price interfaces of the three clouds on this machine, in the formats that the real ones answer in."""

from __future__ import annotations

import csv
import gzip
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

AWS_HEADER = next(
    csv.reader(
        [
            "SKU,OfferTermCode,RateCode,TermType,PriceDescription,EffectiveDate,StartingRange,EndingRange,Unit,PricePerUnit,"
            "Currency,RelatedTo,LeaseContractLength,PurchaseOption,OfferingClass,Product Family,serviceCode,Location,"
            "Location Type,Instance Type,Current Generation,Instance Family,vCPU,Physical Processor,Clock Speed,Memory,Storage,"
            "Network Performance,Processor Architecture,Tenancy,Operating System,License Model,usageType,operation,"
            "CapacityStatus,GPU,GPU Memory,MarketOption,Pre Installed S/W,Region Code,serviceName,Volume API Name,Transfer Type"
        ]
    )
)


@dataclass(frozen=True, kw_only=True)
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    number: int
    """How many requests came before, to any path."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Close the connection after so many bytes of the body that Content-Length promises."""


@dataclass(kw_only=True)
class FakeCloud:
    url: str
    requests: list[Request] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that hang up in the middle, as they do after an answer that they can't use."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serve(answer: Callable[[Request], Reply]) -> Iterator[FakeCloud]:
    """A server on 127.0.0.1 that answers by `answer`; it keeps the requests."""
    cloud = FakeCloud(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(path=parts.path, query=query, headers=headers, number=len(cloud.requests))
            cloud.requests.append(request)
            reply = answer(request)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body[: reply.cut_after])
            if reply.cut_after is not None:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
            """Stay silent."""

    server = _Server(("127.0.0.1", 0), Handler)
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def as_json(value: object, status: int = 200, **headers: str) -> Reply:
    return Reply(
        body=json.dumps(value).encode(), status=status, headers={"Content-Type": "application/json", **headers}
    )


# --- AWS -------------------------------------------------------------------------------------------------------------


def aws_row(instance_type: str, usd: str, **cells: str) -> list[str]:
    """A price line for plain Linux on demand; `cells` overrides columns by name."""
    row = {
        "SKU": f"SKU-{instance_type}",
        "OfferTermCode": "JRTCKXETXF",
        "TermType": "OnDemand",
        "PriceDescription": f"${usd} per On Demand Linux {instance_type} Instance Hour",
        "EffectiveDate": "2026-11-01",
        "StartingRange": "0",
        "EndingRange": "Inf",
        "Unit": "Hrs",
        "PricePerUnit": usd,
        "Currency": "USD",
        "Product Family": "Compute Instance",
        "serviceCode": "AmazonEC2",
        "Location": "US East (N. Virginia)",
        "Location Type": "AWS Region",
        "Instance Type": instance_type,
        "Tenancy": "Shared",
        "Operating System": "Linux",
        "License Model": "No License required",
        "usageType": f"BoxUsage:{instance_type}",
        "operation": "RunInstances",
        "CapacityStatus": "Used",
        "MarketOption": "OnDemand",
        "Pre Installed S/W": "NA",
    } | cells
    return [row.get(name, "") for name in AWS_HEADER]


def reserved(
    instance_type: str, usd: str, *, lease: str = "1yr", option: str = "No Upfront", unit: str = "Hrs"
) -> list[str]:
    return aws_row(
        instance_type,
        usd,
        TermType="Reserved",
        LeaseContractLength=lease,
        PurchaseOption=option,
        OfferingClass="standard",
        Unit=unit,
    )


def aws_csv(*rows: list[str], header: list[str] = AWS_HEADER) -> bytes:
    meta = [
        ["FormatVersion", "v1.0"],
        ["Disclaimer", "This pricing list is for informational purposes only."],
        ["Publication Date", "2026-11-20T00:00:00Z"],
        ["Version", "20261120000000"],
        ["OfferCode", "AmazonEC2"],
    ]
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in [*meta, header, *rows]).encode()


def aws_path(region: str, service: str = "AmazonEC2") -> str:
    return f"/offers/v1.0/aws/{service}/20261120000000/{region}/index"


def aws_answers(
    files: dict[str, bytes], *, compressed: bool = True, **services: dict[str, bytes]
) -> Callable[[Request], Reply]:
    """The region index and one CSV per region of AmazonEC2 and other services, with ETag and ranges."""
    services["AmazonEC2"] = files

    def answer(request: Request) -> Reply:
        service = request.path.split("/")[4]
        if service not in services:
            return Reply(status=404)
        if request.path.endswith("/region_index.json"):
            paths = {name: {"currentVersionUrl": f"{aws_path(name, service)}.json"} for name in services[service]}
            return as_json({"formatVersion": "v1.0", "publicationDate": "2026-11-20T00:00:00Z", "regions": paths})
        region = request.path.split("/")[-2]
        plain = services[service][region]
        encoding = {"Content-Encoding": "gzip"} if compressed else {}
        return ranged(gzip.compress(plain, mtime=0) if compressed else plain, request, etag=f'"{region}-1"', **encoding)

    return answer


def ranged(body: bytes, request: Request, *, etag: str, **headers: str) -> Reply:
    """A 200, or a 206 with the rest when the client asks for it and has this version."""
    asked = request.headers.get("range")
    if asked is None or request.headers.get("if-range") != etag:
        return Reply(body=body, headers={"ETag": etag, **headers})
    start = int(asked.removeprefix("bytes=").removesuffix("-"))
    span = f"bytes {start}-{len(body) - 1}/{len(body)}"
    return Reply(body=body[start:], status=206, headers={"ETag": etag, "Content-Range": span, **headers})


# --- Azure -----------------------------------------------------------------------------------------------------------


def azure_item(sku: str, usd: float, *, region: str = "eastus", **fields: object) -> dict[str, object]:
    short = sku.removeprefix("Standard_").replace("_", " ")
    return {
        "currencyCode": "USD",
        "tierMinimumUnits": 0.0,
        "retailPrice": usd,
        "unitPrice": usd,
        "armRegionName": region,
        "location": "US East",
        "effectiveStartDate": "2026-01-01T00:00:00Z",
        "meterId": "000a794b-bdb0-58be-a0cd-0c3a0f222923",
        "meterName": short,
        "productId": "DZH318Z0BQPS",
        "skuId": "DZH318Z0BQPS/00TG",
        "productName": "Virtual Machines Series",
        "skuName": short,
        "serviceName": "Virtual Machines",
        "serviceId": "DZH313Z7MMC8",
        "serviceFamily": "Compute",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "isPrimaryMeterRegion": True,
        "armSkuName": sku,
    } | fields


def azure_page(items: list[dict[str, object]], following: str | None = None) -> dict[str, object]:
    return {
        "BillingCurrency": "USD",
        "CustomerEntityId": "Default",
        "CustomerEntityType": "Retail",
        "Items": items,
        "NextPageLink": following,
        "Count": len(items),
    }


# --- Google ----------------------------------------------------------------------------------------------------------


def gcp_sku(
    description: str,
    usd: float,
    *,
    usage: str = "OnDemand",
    unit: str = "h",
    regions: tuple[str, ...] = ("us-central1",),
) -> dict[str, object]:
    units = int(usd)
    return {
        "name": "services/6F81-5844-456A/skus/0000-0000-0000",
        "skuId": "0000-0000-0000",
        "description": description,
        "category": {
            "serviceDisplayName": "Compute Engine",
            "resourceFamily": "Compute",
            "resourceGroup": "CPU",
            "usageType": usage,
        },
        "serviceRegions": list(regions),
        "pricingInfo": [
            {
                "summary": "",
                "pricingExpression": {
                    "usageUnit": unit,
                    "displayQuantity": 1,
                    "tieredRates": [
                        {
                            "startUsageAmount": 0,
                            "unitPrice": {
                                "currencyCode": "USD",
                                "units": str(units),
                                "nanos": round((usd - units) * 1e9),
                            },
                        }
                    ],
                },
                "currencyConversionRate": 1,
                "effectiveTime": "2026-11-20T10:00:00.206Z",
            }
        ],
        "serviceProviderName": "Google",
    }


def a3_skus(usage: str = "OnDemand", factor: float = 1.0) -> list[dict[str, object]]:
    """The parts of an a3-highgpu machine: $0.03 a core, $0.0025 a GiB, $9.80 a GPU, $0.08 a GiB-month of SSD."""
    spot = usage == "Preemptible"
    core = "Spot Preemptible A3 Instance" if spot else "A3 Instance"
    gpu = (
        "Nvidia H100 80GB GPU attached to Spot Preemptible VMs running in"
        if spot
        else "Nvidia H100 80GB GPU running in"
    )
    ssd = "SSD backed Local Storage attached to Spot Preemptible VMs" if spot else "SSD backed Local Storage"
    return [
        gcp_sku(f"{core} Core running in Americas", 0.03 * factor, usage=usage),
        gcp_sku(f"{core} Ram running in Americas", 0.0025 * factor, usage=usage, unit="GiBy.h"),
        gcp_sku(f"{gpu} Americas", 9.8 * factor, usage=usage),
        gcp_sku(ssd, 0.08 * factor, usage=usage, unit="GiBy.mo"),
    ]
