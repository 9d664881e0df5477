"""Savings: each rule on an example by hand, and no saving where something is not known or would not be one."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planners.costs.savings import HEADROOM, MachineNow, ReservedCapacity, SandboxPool, Saving, most_at_once, savings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GPU_NODE = MachineNow(
    node="gpu-5", usd_per_hour=Decimal("7.625"), gpus=8, idle_gpus=8, idle_since=NOW - timedelta(hours=3)
)
POOL = SandboxPool(
    run="rl",
    nodes=2,
    slots=200.0,
    most_running=200.0,
    most_wanted=1200.0,
    was_queued=True,
    waiting_usd_a_day=Decimal(1200),
    usd_per_hour=Decimal(10),
    hours=24.0,
)
QUIET = replace(POOL, nodes=10, slots=1000.0, most_running=150.0, most_wanted=150.0, was_queued=False)


def of_machines(*machines: MachineNow) -> tuple[Saving, ...]:
    return savings(machines, [], [], [], now=NOW)


def of_pool(pool: SandboxPool) -> tuple[Saving, ...]:
    return savings([], [pool], [], [], now=NOW)


def test_a_node_whose_gpus_have_not_worked_for_an_hour_is_to_be_released() -> None:
    (found,) = of_machines(GPU_NODE)
    assert found.what == "release gpu-5: its 8 GPUs have not worked for 3.0 h"
    assert found.usd_a_day == Decimal(183)
    (held,) = of_machines(replace(GPU_NODE, holders=("lab/notebook-0",), estimated=True))
    assert held.what.startswith("end lab/notebook-0 and release gpu-5")
    assert held.how.startswith("estimated price")


@pytest.mark.parametrize(
    "changed",
    [
        {"idle_gpus": 7},
        {"idle_since": NOW - timedelta(minutes=59)},
        {"idle_since": None},
        {"gpus": 0, "idle_gpus": 0},
        {"gpus": 0, "idle_gpus": 0, "highest_cpu_pct": 50.0, "cpu_hours": 9.0},
        {"gpus": 0, "idle_gpus": 0, "highest_cpu_pct": 5.0, "cpu_hours": 0.5},
        {"gpus": 0, "idle_gpus": 0, "highest_cpu_pct": 5.0, "cpu_hours": 9.0, "is_sandbox": True},
    ],
)
def test_a_machine_that_works_or_of_which_too_little_is_known_is_kept(changed: dict[str, object]) -> None:
    assert of_machines(replace(GPU_NODE, **changed)) == ()  # type: ignore[arg-type]


def test_a_cpu_machine_that_does_little_is_to_be_released() -> None:
    (found,) = of_machines(MachineNow(node="cpu-1", usd_per_hour=Decimal(1), highest_cpu_pct=4.0, cpu_hours=5.0))
    assert found.usd_a_day == Decimal(24)
    assert "never busier than 4%" in found.how


def test_more_sandbox_nodes_where_gpus_wait_longer_than_they_cost() -> None:
    (found,) = of_pool(POOL)
    # 1200 x 2 / m + 120 x m is least at m = sqrt(20) = 4.5: 1080 with 4 and with 5 nodes, against 1440 with 2
    assert found.what == "2 more sandbox nodes for rl (4 instead of 2)"
    assert found.usd_a_day == Decimal(360)


def test_more_sandboxes_than_programs_help_nobody() -> None:
    (found,) = of_pool(replace(POOL, most_wanted=250.0))
    assert found.what == "1 more sandbox node for rl (3 instead of 2)"
    assert of_pool(replace(POOL, most_wanted=180.0)) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"waiting_usd_a_day": None},
        {"waiting_usd_a_day": Decimal(0)},
        {"usd_per_hour": None},
        {"hours": 0.5},
        {"slots": 0.0},
    ],
)
def test_no_more_sandboxes_where_something_is_not_known(changed: dict[str, object]) -> None:
    assert of_pool(replace(POOL, **changed)) == ()  # type: ignore[arg-type]


def test_fewer_sandbox_nodes_where_slots_are_never_used() -> None:
    (found,) = of_pool(QUIET)
    assert found.what == "8 fewer sandbox nodes for rl (2 instead of 10)"
    assert found.usd_a_day == Decimal(192)
    (unpriced,) = of_pool(replace(QUIET, usd_per_hour=None))
    assert unpriced.usd_a_day is None


def test_unused_reservations_and_leftovers() -> None:
    block = ReservedCapacity(name="cr-1", nodes=3, most_used=1, usd_per_hour=Decimal(150))
    found = savings([], [], [block, replace(block, name="full", most_used=3)], [("old-1", Decimal(5))], now=NOW)
    assert [(one.what, one.usd_a_day) for one in found] == [
        ("use or give back 2 of 3 reserved nodes of cr-1", Decimal(2400)),
        ("remove old-1, which no live run uses", Decimal(120)),
    ]


def test_a_machine_of_an_ended_run_is_said_once() -> None:
    found = savings([GPU_NODE], [], [], [("gpu-5", Decimal("7.625"))], now=NOW)
    assert [one.what for one in found] == ["remove gpu-5, which no live run uses"]


def test_the_dearest_is_first_and_the_unpriced_last() -> None:
    found = of_machines(
        replace(GPU_NODE, node="a", usd_per_hour=None), GPU_NODE, replace(GPU_NODE, node="b", usd_per_hour=Decimal(80))
    )
    assert [one.usd_a_day for one in found] == [Decimal(1920), Decimal(183), None]


@given(
    st.integers(1, 50),
    st.floats(1, 1000),
    st.floats(0, 50_000),
    st.floats(0, 100_000),
    st.decimals("0.01", 1000, places=2),
)
def test_more_sandboxes_never_cost_more_than_they_save(
    nodes: int, slots: float, wanted: float, waiting: float, price: Decimal
) -> None:
    pool = replace(
        POOL, nodes=nodes, slots=slots, most_wanted=wanted, usd_per_hour=price, waiting_usd_a_day=Decimal(repr(waiting))
    )
    for found in of_pool(pool):
        assert found.usd_a_day is not None
        assert 0 < found.usd_a_day < waiting, "no more than all that waiting costs"
        count = int(found.what.partition("(")[2].split()[0])
        assert nodes < count <= max(nodes, math.ceil(wanted / (slots / nodes)))


@given(st.integers(1, 50), st.floats(1, 1000), st.floats(0, 1))
def test_fewer_sandboxes_still_hold_the_highest_load_and_the_headroom(nodes: int, slots: float, load: float) -> None:
    pool = replace(QUIET, nodes=nodes, slots=slots, most_running=slots * load)
    for found in of_pool(pool):
        left = int(found.what.partition("(")[2].split()[0])
        assert 1 <= left < nodes
        assert left * slots / nodes * (1 - HEADROOM) >= slots * load * (1 - 1e-6)


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_most_at_once_is_the_most_that_any_moment_sees(times: list[tuple[int, int]]) -> None:
    moments = [(NOW + timedelta(hours=a), NOW + timedelta(hours=b)) for a, b in times]
    seen = (sum(a <= hour < b for a, b in times) for hour in range(21))
    assert most_at_once(moments) == max(seen)
