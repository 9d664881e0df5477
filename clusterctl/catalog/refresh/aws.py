"""AWS Price List bulk files: one CSV per service and region, those of machines hundreds of megabytes each, no key.

Chosen: the CSV, not the JSON.  It is read line by line, so memory stays flat; it is downloaded (compressed, if the
server does that) to a file first, so that a cut connection continues by a range request instead of starting again.
Only the matching rows (`aws.toml`) are kept, then the file is deleted: at any time one file is on disk.
Spot prices need credentials (DescribeSpotPriceHistory), so refresh leaves spot and capacity blocks as they are.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import tomllib
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from clusterctl.catalog.refresh.reading import HOURS_PER_YEAR, Asked, ExtraRow, Reading, Row, field, stays, usd
from clusterctl.catalog.refresh.transport import MAX_FILE_BYTES
from clusterctl.errors import PriceError

INDEX = "/offers/v1.0/aws/{}/current/region_index.json"
RESTRICTED = re.compile(r"^(us-gov|us-iso|eu-isoe|eusc|cn)-")
"""Partitions that an ordinary account can't buy in."""
NEEDED = ("TermType", "Unit", "PricePerUnit", "Currency")
NEEDED_OF_MACHINES = ("Instance Type", "Tenancy", "Operating System")
LINES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
UNITS = {extra["item"]: extra["unit"] for extra in LINES["extras"]}
MACHINES = "AmazonEC2"
SERVICES = tuple(dict.fromkeys([MACHINES, *(extra["service"] for extra in LINES["extras"])]))
TERMS = {"1yr": ("reserved_1y", HOURS_PER_YEAR), "3yr": ("reserved_3y", 3 * HOURS_PER_YEAR)}
PAYMENT_ORDER = ("No Upfront", "Partial Upfront", "All Upfront")
MAX_FIELD_CHARS = 2**17
MAX_LINE_CHARS = 2**20

Terms = dict[tuple[str, str, str, str], list[float]]
"""SKU, instance type, lease, payment -> [dollars per hour, dollars upfront]."""
Kept = tuple[list[tuple[str, str, float]], list[str], dict[str, float]]
"""(instance type, capacity type, dollars per hour) rows; GPU instance types that the book has no shape of; and dollars
per unit by item of disks, NAT, object storage, control planes and egress."""


def read_aws(asked: Asked) -> Reading:
    """On-demand and standard reserved prices in all (or the asked) regions, and those beside machines.

    Raises PriceError; but a service beside AmazonEC2 that can't be read keeps its old prices, and a note says so.
    """
    wanted: list[str] = []
    rows: list[Row] = []
    extras: list[ExtraRow] = []
    strangers: set[str] = set()
    notes = ["spot and capacity blocks left as they were: AWS publishes them only to accounts"]
    for number, service in enumerate(SERVICES):
        try:
            files = asked.page(asked.transport.url(INDEX.format(service)), None, _region_files)
            wanted = wanted or sorted(each for each in files if asked.wants(each) and not RESTRICTED.match(each))
            for done, region in enumerate(filter(files.__contains__, wanted), start=1):
                path = files[region]
                kept, unknown, usd_of = asked.cache.once(
                    f"{service} {path}", partial(_region, asked, service, region, path)
                )
                rows += [(region, *row) for row in kept]
                extras += [(region, item, UNITS[item], price) for item, price in usd_of.items()]
                strangers.update(unknown)
                asked.advance(number * len(wanted) + done, len(SERVICES) * len(wanted))
        except PriceError as error:
            if service == MACHINES:
                raise
            notes.append(f"prices of {service} left as they were: {error.message}")
    if strangers:
        notes.append(f"GPU machines that the book has no shape of: {', '.join(sorted(strangers))}")
    full_source = f"AWS Price List bulk files {', '.join(SERVICES)}, CSV per region"
    authority = ("region", "capacity_type")
    return asked.reading(rows, "aws-price-list", full_source, authority=authority, notes=notes, extras=extras)


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


def _region(asked: Asked, service: str, region: str, path: str) -> Kept:
    file = asked.cache.folder / f"{service}-{region}.csv"
    encoding = asked.transport.download(asked.transport.url(path), file)
    try:
        with _opened(file, encoding) as stream:
            return parse(_limited_lines(stream, f"aws {region}"), asked.known, where=f"aws {region}", service=service)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise PriceError(f"aws {region}: the price file is damaged: {error}", hint="run the command again") from error
    finally:
        file.unlink(missing_ok=True)


def _opened(file: Path, encoding: str) -> TextIO:
    if encoding == "gzip":
        return io.TextIOWrapper(gzip.open(file), encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


def _limited_lines(stream: TextIO, where: str) -> Iterator[str]:
    """The lines of a file.  Raises PriceError where it, or a line, is longer than any that AWS sends."""
    size = 0
    while line := stream.readline(MAX_LINE_CHARS):
        size += len(line)
        if size > MAX_FILE_BYTES or len(line) == MAX_LINE_CHARS:
            most = f"a line of {MAX_LINE_CHARS:,} characters" if size <= MAX_FILE_BYTES else f"{MAX_FILE_BYTES:,} bytes"
            raise stays(f"{where}: the price file has more than {most} when unpacked")
        yield line


def parse(lines: Iterable[str], known: Collection[str], *, where: str, service: str = MACHINES) -> Kept:
    """The prices in one region's file: five lines of metadata, a header that begins with SKU, a line per price.

    Raises PriceError when the columns or a price are not what they should be.
    """
    csv.field_size_limit(MAX_FIELD_CHARS)
    reader = csv.reader(lines)
    header = next((row for row in reader if row and row[0] == "SKU"), None)
    if header is None:
        raise stays(f"{where}: no header line that begins with SKU")
    at = {name: index for index, name in enumerate(header)}
    missing = [name for name in NEEDED + NEEDED_OF_MACHINES * (service == MACHINES) if name not in at]
    if missing:
        raise PriceError(f"{where}: no column {', '.join(missing)}", hint="the file format may have changed")
    on_demand: dict[str, float] = {}
    reserved: Terms = defaultdict(lambda: [0.0, 0.0])
    strangers: set[str] = set()
    extras: dict[str, float] = {}
    for item, line in _wanted_lines(reader, at, len(header), where, service):
        kind = line.get("Instance Type", "")
        if item is None and kind not in known:
            if line.get("GPU", "").strip() not in {"", "0", "NA"}:
                strangers.add(kind)
            continue
        price = usd(line["PricePerUnit"], f"{where} {item or kind}")
        if item is not None:
            extras[item] = max(price, extras.get(item, 0.0))
        elif line["TermType"] == "OnDemand" and line["Unit"] in {"Hrs", "Hours"}:
            on_demand[kind] = max(price, on_demand.get(kind, 0.0))
        elif line["TermType"] == "Reserved" and line.get("OfferingClass") == "standard":
            term = reserved[line["SKU"], kind, line.get("LeaseContractLength", ""), line.get("PurchaseOption", "")]
            term[line["Unit"] == "Quantity"] += price
    rows = [(kind, "on_demand", price) for kind, price in sorted(on_demand.items()) if price > 0]
    return (
        [*rows, *_reserved_rows(reserved)],
        sorted(strangers),
        {item: price for item, price in extras.items() if price},
    )


def _wanted_lines(
    reader: Iterator[list[str]], at: dict[str, int], width: int, where: str, service: str
) -> Iterator[tuple[str | None, dict[str, str]]]:
    """(item, line) of extras, and (None, line) of Linux machines."""
    of_machines = [(at[name], set(values)) for name, values in LINES["machines"].items() if name in at]
    of_families: dict[str, list[tuple[str, list[tuple[int, re.Pattern[str]]]]]] = defaultdict(list)
    for extra in LINES["extras"]:
        if extra["service"] == service and extra["lines"].keys() <= at.keys():
            tests = [(at[name], re.compile(pattern)) for name, pattern in extra["lines"].items()]
            of_families[extra["lines"]["Product Family"]].append((extra["item"], tests))
    family = at.get("Product Family", 0)
    for number, row in enumerate(reader, start=1):
        if len(row) != width:
            raise PriceError(f"{where}: price line {number} has {len(row)} of {width} cells", hint="run it again")
        if service == MACHINES and all(not row[index] or row[index] in values for index, values in of_machines):
            yield None, {name: row[index] for name, index in at.items()}
        for item, tests in of_families.get(row[family], ()):
            if all(pattern.fullmatch(row[index]) for index, pattern in tests):
                yield item, {name: row[index] for name, index in at.items()}


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
