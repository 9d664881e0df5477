"""The formats on their own: whatever an interface sends is a price, nothing, or one PriceError."""

from __future__ import annotations

import copy
import csv
import io
from datetime import date
from time import sleep
from typing import Any

import fake_clouds as fake
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterctl.catalog.refresh import aws, azure, gcp
from clusterctl.catalog.refresh.gcp import part_price
from clusterctl.catalog.refresh.reading import usd
from clusterctl.catalog.refresh.transport import Transport
from clusterctl.errors import PriceError

TODAY = date(2026, 11, 23)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += places(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*path, index))
    return found


def changed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    if not path:
        return to
    result = copy.deepcopy(value)
    inner = result
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return result


GCP_PAGE = {"skus": fake.a3_skus()[:2], "nextPageToken": "t"}
AZURE_PAGE = fake.azure_page(
    [
        fake.azure_item("Standard_D2s_v5", 0.1),
        fake.azure_item("Standard_D2s_v5", 500.0, type="Reservation", reservationTerm="1 Year"),
    ],
    "https://prices.azure.com/api/retail/prices?$skip=1",
)


@given(place=st.sampled_from(places(GCP_PAGE)), to=JSON)
def test_any_google_page(place: tuple[Any, ...], to: Any) -> None:
    try:
        parts, token = gcp.parse(changed(GCP_PAGE, place, to))
    except PriceError:
        return
    assert isinstance(token, str)
    assert all(part.usd_per_hour >= 0 for part in parts)


@given(place=st.sampled_from(places(AZURE_PAGE)), to=JSON)
def test_any_azure_page(place: tuple[Any, ...], to: Any) -> None:
    try:
        rows, following = azure.parse(changed(AZURE_PAGE, place, to), today=TODAY, known={"Standard_D2s_v5"})
    except PriceError:
        return
    assert isinstance(following, str)
    assert all(float(str(row[3])) >= 0 for row in rows)


@given(
    rows=st.lists(st.lists(st.text(max_size=12), max_size=len(fake.AWS_HEADER)), max_size=3),
    cell=st.tuples(st.integers(0, len(fake.AWS_HEADER) - 1), st.text(max_size=12)),
)
def test_any_aws_file(rows: list[list[str]], cell: tuple[int, str]) -> None:
    row = fake.aws_row("p5.48xlarge", "55.04")
    row[cell[0]] = cell[1]
    lines = io.StringIO(fake.aws_csv(row, *rows).decode())
    try:
        kept, _, _ = aws.parse(lines, {"p5.48xlarge"}, where="aws us-east-1")
    except (PriceError, csv.Error):  # the caller says both in words
        return
    assert all(price > 0 for _, _, price in kept)


@pytest.mark.parametrize(
    ("description", "part", "name"),
    [
        ("N2D AMD Instance Core running in Americas", "core", "n2d"),
        ("Spot Preemptible C3 Instance Ram running in Tokyo", "ram", "c3"),
        ("A3Plus Instance Core running in Iowa", "core", "a3-mega"),
        ("Commitment v1: A3 Cpu in Iowa for 3 Years", "core", "a3"),
        ("Commitment v1: N2D AMD Ram in Americas for 1 Year", "ram", "n2d"),
        ("Commitment v1: Nvidia H100 80GB GPU running in Americas for 1 Year", "gpu", "H100"),
        ("Commitment v1: Nvidia Tesla A100 80GB GPU in Americas for 1 Year", "gpu", "A100-80"),
        ("Nvidia Tesla A100 GPU running in Americas", "gpu", "A100-40"),
        ("Nvidia H100 80GB Mega GPU attached to Spot Preemptible VMs running in Tokyo", "gpu", "H100 mega"),
        ("Nvidia H100 80GB Plus GPU running in Americas", "gpu", "H100 mega"),
        ("H200 141GB GPU running in Netherlands", "gpu", "H200"),
        ("A4 Nvidia B200 (1 gpu slice) running in Americas", "slice", "a4"),
        ("SSD backed Local Storage", "ssd", ""),
        ("SSD backed Local Storage attached to Spot Preemptible VMs", "ssd", ""),
        ("C4 Instance Local SSD running in Americas", "ssd", "c4"),
        ("Commitment v1: Local SSD In Americas for 1 Year", "ssd", ""),
    ],
)
def test_descriptions_of_the_google_catalog(description: str, part: str, name: str) -> None:
    found = part_price(fake.gcp_sku(description, 2.0))
    assert found is not None
    assert (found.part, found.name, found.usd_per_hour) == (part, name, 2.0)


@pytest.mark.parametrize(
    "description",
    [
        "N2 Custom Instance Core running in Americas",
        "Sole Tenancy Premium for N2 Instance Core running in Americas",
        "Reserved A2 Instance Core running in Americas",
        "Nvidia Tesla T4 GPU attached to Sole Tenancy VMs running in Americas",
        "Nvidia Tesla T4 GPU running in Americas",
        "Licensing Fee for Windows Server 2019 Datacenter Edition (CPU cost)",
        "",
    ],
)
def test_other_skus_are_none_of_ours(description: str) -> None:
    assert part_price(fake.gcp_sku(description, 2.0)) is None


def test_units_of_the_google_catalog() -> None:
    month = part_price(fake.gcp_sku("SSD backed Local Storage", 0.73, unit="GiBy.mo"))
    gigabyte = part_price(fake.gcp_sku("C4 Instance Ram running in Americas", 1.0, unit="GBy.h"))
    assert month is not None
    assert month.usd_per_hour == pytest.approx(0.001)
    assert gigabyte is not None
    assert gigabyte.usd_per_hour == pytest.approx(1.073741824)
    with pytest.raises(PriceError, match="priced per count"):
        part_price(fake.gcp_sku("C4 Instance Ram running in Americas", 1.0, unit="count"))


@pytest.mark.parametrize("value", [-1, "-0.5", "free", "", None, True, [], float("nan"), float("inf"), "1e999"])
def test_what_is_no_price(value: object) -> None:
    with pytest.raises(PriceError, match="is not a price"):
        usd(value, "here")


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://prices.azure.com:443/api/retail/prices?$skip=1000", True),
        ("https://prices.azure.com/api", True),
        ("http://prices.azure.com/api", False),
        ("https://prices.azure.com.example.org/api", False),
        ("https://prices.azure.com:8443/api", False),
        ("https://prices.azure.com:x/api", False),
        ("/api", False),
    ],
)
def test_the_next_page_must_be_on_the_same_server(url: str, same: bool) -> None:
    assert Transport("azure", "https://prices.azure.com", {}, sleep).same_origin(url) is same


def test_a_key_is_not_in_the_repr() -> None:
    assert "sesame" not in repr(Transport("gcp", "https://x", {"X-Goog-Api-Key": "sesame"}, sleep))
