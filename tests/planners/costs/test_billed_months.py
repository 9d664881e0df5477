"""Whose a line of a bill is, and charges at what was billed: exact, whatever the bill says."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_allocation import HOUR, T0, charge, charges

from planners.costs.invoices import LINES, match_lines, settle
from planners.costs.spend import within

MARCH, APRIL, MAY = (datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5))
RESOURCES = pl.DataFrame(
    [
        ("r/node/1", "r", "i-1", "machine"),
        ("r/node/2", "r", "i-2", "machine"),
        ("s/node/1", "s", None, "machine"),
        ("s/disk", "s", None, "storage"),
        ("s/in", "s", None, "tokens"),
        ("s/out", "s", None, "tokens"),
    ],
    schema=["resource", "run", "address", "kind"],
    orient="row",
)


def bill_line(usd: str = "1", **more: Any) -> dict[str, Any]:
    given_: dict[str, Any] = {
        "bill": "aws/1/2026-03",
        "provider": "aws",
        "account": "1",
        "invoice": "INV-7",
        "period_from": MARCH,
        "period_to": APRIL,
        "kind": "machine",
        "description": "x",
        "from_at": T0,
        "to_at": T0 + HOUR,
        "usd": Decimal(usd),
        "rows": 1,
    }
    return given_ | more


def lines(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=LINES)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"address": "i-1"}, ("r", "r/node/1")),
        ({"address": "arn:aws:ec2:us-east-1:1:instance/i-2"}, ("r", "r/node/2")),
        ({"resource": "s/node/1", "address": "i-1"}, ("s", "s/node/1")),
        ({"resource": "gone/1", "run": "s"}, ("s", None)),
        ({"run": "s", "address": "vol-1"}, ("s", None)),
        ({"run": "nobody"}, (None, None)),
        ({"run": "s", "address": "i-1"}, ("r", "r/node/1")),
        ({"run": "s", "kind": "storage"}, ("s", "s/disk")),
        ({"run": "r", "kind": "storage"}, ("r", None)),
        ({"run": "s", "kind": "tokens"}, ("s", None)),
        ({}, (None, None)),
    ],
)
def test_whose_it_is(said: dict[str, str], found: tuple[str | None, str | None]) -> None:
    assert (
        match_lines(lines(bill_line(**said)), RESOURCES, pl.Series(["r", "s"])).select("run", "resource").row(0)
        == found
    )


def test_only_final_lines_with_a_run_count() -> None:
    paid = charges(charge())
    for unsettled in (bill_line("5", invoice=None, run="r", resource="r/node/1"), bill_line("5")):
        assert settle(paid, lines(unsettled)).equals(paid)


def test_what_lies_outside_of_the_month_stays_an_estimate() -> None:
    paid = charges(charge(usd="48", hours=48, start=(APRIL - T0) / HOUR - 24))
    settled = settle(paid, lines(bill_line("30", run="r", resource="r/node/1"))).sort("from_at")
    assert settled.select("usd", "status", "from_at", "to_at").rows() == [
        (Decimal(30), "billed", APRIL - 24 * HOUR, APRIL),
        (Decimal(24), "estimate", APRIL, APRIL + 24 * HOUR),
    ]


AMOUNT = st.decimals(-1000, 10**6, places=6)


@settings(max_examples=40, deadline=None)
@given(
    paid=st.lists(
        st.tuples(st.floats(0, 1400), st.floats(0.001, 400), st.none() | st.decimals(0, 10**6, places=6)),
        min_size=1,
        max_size=4,
    ),
    billed=st.lists(st.tuples(st.sampled_from([None, "r/0", "r/1", "r/9"]), st.booleans(), AMOUNT), max_size=5),
)
def test_a_months_charges_are_its_final_bill(
    paid: list[tuple[float, float, Decimal | None]], billed: list[tuple[str | None, bool, Decimal]]
) -> None:
    """For every month and resource: what the bill says, if it says anything; else the estimate."""
    ours = charges(
        *(
            charge(f"r/{n % 3}", usd=None if usd is None else str(usd), start=start, hours=hours)
            for n, (start, hours, usd) in enumerate(paid)
        )
    )
    rows = [
        bill_line(
            str(usd),
            run="r",
            resource=resource,
            address=f"a{n}",
            **({} if march else {"period_from": APRIL, "period_to": MAY, "from_at": APRIL, "to_at": APRIL + HOUR}),
        )
        for n, (resource, march, usd) in enumerate(billed)
    ]
    settled = settle(ours, lines(*rows))
    for first, last in ((MARCH, APRIL), (APRIL, MAY)):
        told = {row["resource"]: Decimal(0) for row in rows if row["period_from"] == first and row["resource"]}
        for row in (row for row in rows if row["period_from"] == first and row["resource"]):
            told[row["resource"]] += row["usd"]
        inside = within(settled, first, last)
        for resource, usd in told.items():
            mine = inside.filter(pl.col("resource") == resource)
            assert mine["usd"].sum() == usd
            assert set(mine["status"]) == {"billed"}
        estimated = within(ours, first, last).filter(~pl.col("resource").is_in(list(told)))
        left = inside.filter(pl.col("status") == "estimate")
        assert (left["usd"].sum(), left["usd"].null_count()) == (estimated["usd"].sum(), estimated["usd"].null_count())
        loose = sum((row["usd"] for row in rows if row["period_from"] == first and not row["resource"]), Decimal(0))
        assert inside.filter(pl.col("resource").str.starts_with("a"))["usd"].sum() == loose
