"""Who used the money and for what: worked examples, and parts that add up whatever the input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.costs.allocate import allocate
from planners.costs.cost_tables import CHARGES, GPU_USAGE, PARTS, USD
from planners.costs.rounding import prorate, rounded
from planners.costs.spend import by, spend, within

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def charge(
    resource: str = "r/node/1", usd: str | None = "36", hours: float = 1.0, start: float = 0.0, **more: Any
) -> dict[str, Any]:
    given_: dict[str, Any] = {
        "run": "r",
        "team": "ml",
        "resource": resource,
        "role": "node",
        "kind": "machine",
        "provider": "aws",
        "node": "n1",
        "gpus": 2,
        "nodes": None,
        "from_at": T0 + start * HOUR,
        "to_at": T0 + (start + hours) * HOUR,
        "usd_per_hour": Decimal(36),
        "usd": None if usd is None else Decimal(usd),
        "source": "list",
        "status": "estimate",
    }
    return given_ | more


def used(gpu: str, seconds: float, at_hours: float = 0.5, reason: str | None = None, **more: Any) -> dict[str, Any]:
    given_: dict[str, Any] = {"node": "n1", "run": "r", "role": "trainer"}
    return given_ | {"gpu": gpu, "at": T0 + at_hours * HOUR, "seconds": seconds, "reason": reason} | more


def charges(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=CHARGES)


def use(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=GPU_USAGE)


def told(parts: pl.DataFrame, *keys: str) -> dict[Any, Decimal | None]:
    """Dollars by key."""
    rows = parts.group_by(*keys).agg(pl.col("usd").sum()).rows()
    return {(row[0] if len(keys) == 1 else row[:-1]): row[-1] for row in rows}


def test_a_machine_is_split_by_gpu_seconds() -> None:
    parts = allocate(
        charges(charge()),
        use(
            used("0", 1800),
            used("0", 600, reason="waiting_sandbox"),
            used("1", 1200, role="rollout"),
            used("1", 1200, run=None, role=None, reason="no_process"),
        ),
    )
    assert parts.schema == PARTS
    assert told(parts, "use", "role", "reason") == {
        ("busy", "trainer", None): 9,
        ("idle", "trainer", "waiting_sandbox"): 3,
        ("busy", "rollout", None): 6,
        ("idle", "node", "no_process"): 6,
        ("unmeasured", "node", None): 12,
    }
    assert parts["gpu_hours"].sum() == 2.0
    assert spend(parts).idle_usd == 9


def test_without_telemetry_it_is_unmeasured_and_neither_busy_nor_idle() -> None:
    parts = allocate(charges(charge(gpus=None), charge("r/node/2", node=None)), use())
    assert told(parts, "use") == {"unmeasured": 72}
    assert parts["gpu_hours"].to_list() == [None, 2.0]


def test_an_unknown_price_stays_unknown_and_is_listed() -> None:
    parts = allocate(
        charges(charge(), charge("r/node/2", usd=None, node="n2")), use(used("0", 3600), used("0", 60, node="n2"))
    )
    whole = spend(parts)
    assert (whole.usd, whole.known_usd, whole.unpriced) == (None, 36, ("r/node/2",))
    found = by(parts, "node").select("node", "usd", "known_usd", "unpriced", "share").rows()
    assert found == [("n1", Decimal(36), Decimal(36), 0, None), ("n2", None, Decimal(0), 1, None)]


def test_another_runs_seconds_are_its_own_cost_unless_it_pays_itself() -> None:
    guest = [used(gpu, 3600, run="guest", at_hours=0.99) for gpu in "01"]
    alone = allocate(charges(charge()), use(*guest))
    assert told(alone, "run") == {"guest": 36}
    paying = allocate(charges(charge(), charge("g/node/1", run="guest", team="eval")), use(*guest))
    assert told(paying, "run", "team", "use") == {("r", "ml", "unmeasured"): 36, ("guest", "eval", "busy"): 36}


def test_instances_of_one_gpu_share_it() -> None:
    parts = allocate(
        charges(charge(gpus=1)),
        use(used("0:1", 3600, at_hours=1 - 1e-6), used("0:2", 3600, at_hours=1 - 1e-6, role="reward")),
    )
    assert told(parts, "role") == {"trainer": 18, "reward": 18}


def test_shared_cost_follows_direct_cost_and_sandboxes_are_their_own() -> None:
    parts = allocate(
        charges(
            charge(),
            charge("r/control/1", usd="10", kind="control_plane", role="control"),
            charge("r/sandbox/1", usd="12", role="sandbox", gpus=0, node="s1"),
            charge("r/s3", usd="0.5", kind="storage", role=None),
        ),
        use(used("0", 3600), used("1", 3600)),
    )
    assert told(parts, "use") == {"busy": 36, "sandbox": 12, "storage": Decimal("0.5"), "shared": 10}
    shared = told(parts.filter(pl.col("use") == "shared"), "role")
    assert shared == {"trainer": Decimal("7.5"), "sandbox": Decimal("2.5")}


def test_what_a_reservation_holds_beyond_its_machines_is_unused() -> None:
    block = charge(
        "r/block", usd="480", hours=24, kind="reservation", node=None, gpus=None, reservation="cr-1", nodes=2
    )
    inside = charge(usd="0", hours=12, reservation="cr-1")
    parts = allocate(charges(block, inside), use())
    assert told(parts, "use", "reservation") == {("unmeasured", "cr-1"): 120, ("unused", "cr-1"): 360}
    unknown = allocate(charges(block | {"usd": None}, inside), use())
    assert spend(unknown).unpriced == ("r/block", "r/node/1")


def test_windows_that_touch_add_up() -> None:
    frame = charges(charge(usd="0.000007", hours=3))
    middle = T0 + timedelta(minutes=77)
    first, second = within(frame, None, middle), within(frame, middle, None)
    assert first["usd"].sum() + second["usd"].sum() == Decimal("0.000007")
    assert within(frame, T0 + 3 * HOUR, None).is_empty()


MONEY = st.none() | st.decimals(min_value=0, max_value=10**9, places=6)
RUNS, ROLES = st.sampled_from(["a", "b", "c"]), st.sampled_from(["trainer", "rollout", "sandbox"])
CHARGE = st.fixed_dictionaries(
    {
        "run": RUNS,
        "role": ROLES,
        "kind": st.sampled_from(
            ["machine", "machine", "storage", "egress", "tokens", "control_plane", "reservation", "odd"]
        ),
        "node": st.sampled_from([None, "n1", "n2"]),
        "gpus": st.sampled_from([None, 0, 1, 8]),
        "start": st.floats(0, 50),
        "hours": st.floats(1e-6, 50),
        "usd": MONEY,
        "reservation": st.sampled_from([None, "cr-1"]),
        "nodes": st.sampled_from([None, 1, 5]),
    }
)
USE = st.builds(
    used,
    gpu=st.sampled_from(["0", "1", "2:1", "2:2"]),
    seconds=st.floats(0, 1e5, width=32),
    at_hours=st.floats(0, 60),
    reason=st.sampled_from([None, "waiting_sandbox", "unknown"]),
    node=st.sampled_from(["n1", "n2", "n3"]),
    run=st.none() | RUNS,
    role=st.none() | ROLES,
)


@given(rows=st.lists(CHARGE, max_size=6), uses=st.lists(USE, max_size=8), cut=st.floats(0, 60))
def test_parts_add_up_to_the_whole(rows: list[dict[str, Any]], uses: list[dict[str, Any]], cut: float) -> None:
    reported = ("storage", "egress", "tokens")
    units = [{"quantity": row["hours"] * 7, "unit": "GiB"} if row["kind"] in reported else {} for row in rows]
    paid = charges(
        *(charge(f"{row['run']}/{n}", **row, **unit) for n, (row, unit) in enumerate(zip(rows, units, strict=True)))
    )
    parts = allocate(paid, use(*uses))
    assert parts["quantity"].sum() == pytest.approx(paid["quantity"].sum())
    assert parts["usd"].sum() == paid["usd"].sum()
    assert parts["usd"].drop_nulls().min() is None or parts["usd"].drop_nulls().min() >= 0
    if paid["usd"].null_count() == 0:
        assert spend(parts).usd == paid["usd"].sum(), "nothing becomes unknown by being split"
    for keys in (("run",), ("role", "team"), ("use", "reason")):
        groups = by(parts, *keys)
        assert groups["known_usd"].sum() == paid["usd"].sum()
        cents = rounded(groups["known_usd"].to_list(), 2)
        assert sum(cents, Decimal(0)) == paid["usd"].sum().quantize(Decimal("0.01")), "and in print, to the cent"
    moment = T0 + cut * HOUR
    windows = [allocate(within(paid, *window), use(*uses)) for window in ((None, moment), (moment, None))]
    assert sum((window["usd"].sum() for window in windows), Decimal(0)) == paid["usd"].sum()
    assert sum(window["quantity"].sum() for window in windows) == pytest.approx(paid["quantity"].sum())


@given(total=MONEY, weights=st.lists(st.floats(0, 1e12), min_size=1, max_size=20))
def test_every_part_is_within_a_millionth_of_its_share(total: Decimal | None, weights: list[float]) -> None:
    frame = pl.DataFrame({"whole": [total] * len(weights), "w": weights, "g": 1}, schema_overrides={"whole": USD})
    parts = prorate(frame, total="whole", weight="w", over="g")["usd"].to_list()
    if total is None:
        assert parts == [None] * len(weights)
        return
    whole = sum(weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        share = weight / whole if whole > 0 else 1 / len(weights)
        assert abs(float(part) - float(total) * share) <= 1.01e-6 + 1e-12 * float(total)
