"""AWS Price List bulk files: one CSV per region, hundreds of megabytes each, no key.

Chosen: the CSV, not the JSON.  It is read line by line, so memory stays flat; it is downloaded (compressed, if the
server does that) to a file first, so that a cut connection continues by a range request instead of starting again.
Only the matching rows are kept, then the file is deleted: at any time one region's file is on disk.
Spot prices need credentials (DescribeSpotPriceHistory), so refresh leaves spot and capacity blocks as they are.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from clusterctl.catalog.refresh.reading import HOURS_PER_YEAR, Asked, Reading, Row, field, stays, usd
from clusterctl.errors import PriceError

INDEX = "/offers/v1.0/aws/AmazonEC2/current/region_index.json"
RESTRICTED = re.compile(r"^(us-gov|us-iso|eu-isoe|eusc|cn)-")
"""Partitions that an ordinary account can't buy in."""
NEEDED = ("TermType", "Unit", "PricePerUnit", "Currency", "Instance Type", "Tenancy", "Operating System")
WANTED = {
    "Product Family": {"Compute Instance", "Compute Instance (bare metal)"}, "Location Type": {"AWS Region"},
    "Tenancy": {"Shared"}, "Operating System": {"Linux"}, "Pre Installed S/W": {"NA"},
    "License Model": {"No License required"}, "CapacityStatus": {"Used"}, "MarketOption": {"OnDemand"},
    "operation": {"RunInstances"}, "Currency": {"USD"},
}  # fmt: skip
"""Plain Linux on shared hardware, not capacity reservations and not licences.  A column that the file lacks, or leaves
empty, excludes nothing (older files lack some)."""
TERMS = {"1yr": ("reserved_1y", HOURS_PER_YEAR), "3yr": ("reserved_3y", 3 * HOURS_PER_YEAR)}
PAYMENT_ORDER = ("No Upfront", "Partial Upfront", "All Upfront")
MAX_FIELD_CHARS = 2**17

Terms = dict[tuple[str, str, str, str], list[float]]
"""SKU, instance type, lease, payment -> [dollars per hour, dollars upfront]."""
Kept = tuple[list[tuple[str, str, float]], list[str]]
"""(instance type, capacity type, dollars per hour) rows, and GPU instance types that the book has no shape of."""


def read_aws(asked: Asked) -> Reading:
    """On-demand and standard reserved prices in all (or the asked) regions.  Raises PriceError."""
    files = asked.page(asked.transport.endpoint.url(INDEX), None, _region_files)
    wanted = sorted(region for region in files if asked.wants(region) and not RESTRICTED.match(region))
    rows: list[Row] = []
    strangers: set[str] = set()
    for done, region in enumerate(wanted, start=1):
        kept, unknown = asked.cache.once(files[region], partial(_region, asked, region, files[region]))
        rows += [(region, *row) for row in kept]
        strangers.update(unknown)
        asked.advance(done, len(wanted))
    notes = ["spot and capacity blocks left as they were: AWS publishes them only to accounts"]
    if strangers:
        notes.append(f"GPU machines that the book has no shape of: {', '.join(sorted(strangers))}")
    full_source = "AWS Price List bulk file AmazonEC2, CSV per region"
    return asked.reading(rows, "aws-price-list", full_source, authority=("region", "capacity_type"), notes=notes)


def _region_files(index: object) -> dict[str, str]:
    """Region -> path of its CSV."""
    found: dict[str, str] = {}
    for region in field(index, ["regions"], dict, "aws region index"):
        path = field(index, ["regions", region, "currentVersionUrl"], str, "aws region index")
        if not re.fullmatch(r"/offers/[\w./-]+/index\.json", path) or ".." in path:
            raise stays(f"aws region index: {region} leads to {path!r}")
        found[region] = path.removesuffix("json") + "csv"
    if not found:
        raise stays("aws region index: no regions")
    return found


def _region(asked: Asked, region: str, path: str) -> Kept:
    file = asked.cache.folder / f"{region}.csv"
    encoding = asked.transport.download(asked.transport.endpoint.url(path), file)
    try:
        with _opened(file, encoding) as lines:
            return parse(lines, asked.known, where=f"aws {region}")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise PriceError(f"aws {region}: the price file is damaged: {error}", hint="run the command again") from error
    finally:
        file.unlink(missing_ok=True)


def _opened(file: Path, encoding: str) -> TextIO:
    if encoding == "gzip":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


def parse(lines: TextIO, known: Collection[str], *, where: str) -> Kept:
    """The prices in one region's file: five lines of metadata, a header that begins with SKU, a line per price.

    Raises PriceError when the columns or a price are not what they should be.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    reader = csv.reader(lines)
    header = next((row for row in reader if row and row[0] == "SKU"), None)
    if header is None:
        raise stays(f"{where}: no header line that begins with SKU")
    at = {name: index for index, name in enumerate(header)}
    missing = [name for name in NEEDED if name not in at]
    if missing:
        raise PriceError(f"{where}: no column {', '.join(missing)}", hint="the file format may have changed")
    on_demand: dict[str, float] = {}
    reserved: Terms = defaultdict(lambda: [0.0, 0.0])
    strangers: set[str] = set()
    for line in _linux_lines(reader, at, where):
        kind = line["Instance Type"]
        if kind not in known:
            if line.get("GPU", "").strip() not in {"", "0", "NA"}:
                strangers.add(kind)
            continue
        price = usd(line["PricePerUnit"], f"{where} {kind}")
        if line["TermType"] == "OnDemand" and line["Unit"] in {"Hrs", "Hours"}:
            on_demand[kind] = max(price, on_demand.get(kind, 0.0))
        elif line["TermType"] == "Reserved" and line.get("OfferingClass") == "standard":
            term = reserved[line["SKU"], kind, line.get("LeaseContractLength", ""), line.get("PurchaseOption", "")]
            term[line["Unit"] == "Quantity"] += price
    rows = [(kind, "on_demand", price) for kind, price in sorted(on_demand.items()) if price > 0]
    return [*rows, *_reserved_rows(reserved)], sorted(strangers)


def _linux_lines(reader: Iterator[list[str]], at: dict[str, int], where: str) -> Iterator[dict[str, str]]:
    tests = [(at[name], values) for name, values in WANTED.items() if name in at]
    width = len(at)
    for number, row in enumerate(reader, start=1):
        if len(row) != width:
            raise PriceError(f"{where}: price line {number} has {len(row)} of {width} cells", hint="run it again")
        if all(not row[index] or row[index] in values for index, values in tests):
            yield {name: row[index] for name, index in at.items()}


def _reserved_rows(terms: Terms) -> list[tuple[str, str, float]]:
    """Hourly price over the whole term, upfront payment spread; of the payments sold the one with least upfront."""
    best: dict[tuple[str, str], float] = {}
    for payment in reversed(PAYMENT_ORDER):
        sold: dict[tuple[str, str], float] = {}
        for (_, kind, lease, option), (hourly, upfront) in terms.items():
            if option == payment and lease in TERMS and hourly + upfront > 0:
                capacity_type, hours = TERMS[lease]
                sold[kind, capacity_type] = max(hourly + upfront / hours, sold.get((kind, capacity_type), 0.0))
        best.update(sold)
    return [(kind, capacity_type, price) for (kind, capacity_type), price in sorted(best.items())]
